"""wavemill-bench on a quarter of a second: a case for every row of the table of operations, each of which runs on the CPU
and, where it has a twin there, on the emulator and prints its figures; what is not there is said."""
import json
import os
import re
import subprocess

ROOT = os.environ.get("WAVEMILL_SOURCE") or os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BENCH = os.path.join(os.environ.get("WAVEMILL_BIN") or os.path.join(ROOT, "build", "bin"), "wavemill-bench")
LITTLE = ("--seconds", "0.25", "--rounds", "1", "--python", "none")


def run(*arguments, status: int = 0, **environment) -> str:
    done = subprocess.run([BENCH, *arguments], capture_output=True, text=True, timeout=150, check=False,
                          env={**os.environ, **environment})
    assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout if status == 0 else done.stderr


def read(name: str) -> str:
    with open(os.path.join(ROOT, name), encoding="utf-8") as stream:
        return re.sub(r"/\*.*?\*/", "", stream.read(), flags=re.S)


def outputs() -> set:
    found = re.search(r"enum spectral_output \{(.*?)\}", read("kernels/spectral.h"), re.S)[1]
    return {o.lower() for o in re.findall(r"SPECTRAL_(\w+)", found)} - {"outputs"}


OUTPUTS = outputs()


def table_rows() -> set:
    """The functions of struct ops, and in place of its spectral row the outputs of that."""
    table = re.search(r"struct ops \{(.*?)\n\};", read("kernels/ops.h"), re.S)[1]
    rows = set(re.findall(r"int \(\*(\w+)\)", table)) - {"spectral"}
    assert len(rows) > 10 and len(OUTPUTS) > 8, (rows, OUTPUTS)
    return rows | OUTPUTS


def listed() -> dict:
    return {line.split()[0]: line.split()[1] for line in run("--list").splitlines()}


def every_row_has_a_case() -> None:
    assert set(listed().values()) == table_rows(), set(listed().values()) ^ table_rows()
    assert len(listed()) == len(run("--list").splitlines()), "two cases of one name"


def rows_of_devices() -> set:
    """The functions of the devices' table; every output of its spectral row is there."""
    return set(re.findall(r"\.(\w+) = \w+_cuda,", read("kernels/ops_cuda.cu"))) | table_rows() & OUTPUTS


def check(device: str) -> None:
    head, *lines = map(json.loads, run(*LITTLE, "--json", "--device", device).splitlines())
    assert {line["case"]: line["row"] for line in lines} == listed() and len(lines) == len(listed())
    missing = set() if device == "cpu" else table_rows() - rows_of_devices()
    assert {line["row"] for line in lines if "not_run" in line} == missing, [line for line in lines if "not_run" in line]
    for line in lines:
        assert line["device"] == device and line["signal_s"] == 0.25, line
        if "not_run" in line:
            assert line["not_run"].endswith(f": not on {device}"), line
            continue
        assert line["ours_s"] > 0 and line["bytes"] > 0 and line["flops"] > 0, line
        assert ("share" in line) == (device == "cpu"), line
        if device == "cpu":
            limits = {"memory": line["bytes"] / head["copy_bytes_per_s"], "arithmetic": line["flops"] / head["flops"]}
            assert limits.keys() >= {line["limited_by"]} and line["limit_s"] > 0, line
            assert abs(line["limit_s"] / max(limits.values()) - 1) < 0.02, (line, head)
    if device == "emulated":
        assert head["meaningful"] is False, head


def figures_are_of_the_operation() -> None:
    """Where bytes and operations are told by the sizes alone."""
    lines = {line["case"]: line for line in map(json.loads, run(*LITTLE, "--json").splitlines()[1:])}
    samples, frames, bins = 11025, 11025 // 512 + 1, 1025
    for case, count in (("stft", samples + 2 * frames * bins), ("power", samples + frames * bins),
                        ("istft", 2 * frames * bins + (frames - 1) * 512), ("hpss", 6 * frames * bins),
                        ("stretch", 2 * bins * (frames + -(-frames * 4 // 5))), ("phases", 7 * (frames // 3) * bins),
                        ("logmel", samples + 128 * frames), ("mfcc", samples + 20 * frames), ("rms", samples + frames),
                        ("waveform", samples + 3 * (samples // 256 + 1)), ("decibel_clip", 2 * 128 * frames),
                        ("mixdown", 3 * (samples // 2)), ("statistics", 128 * (frames + 10))):
        assert lines[case]["bytes"] == 4 * count, (case, lines[case], 4 * count)
    assert lines["search"]["flops"] == 2 * 128 * 43 * 43 and lines["search1"]["flops"] == 2 * 128 * 85
    mel = frames * (2048 + 2.5 * 2048 * 11 + 7 * bins)
    assert lines["logmel"]["flops"] == mel + 2 * 128 * frames, (lines["logmel"], mel)
    assert lines["mfcc"]["flops"] - lines["logmel"]["flops"] == 2 * 128 * 20 * frames


def figures_are_of_a_segment() -> None:
    lines = {line["case"]: line for line in map(json.loads, run(*LITTLE, "--json").splitlines()[1:])}
    frames, tokens = (11025 + 1023) // 1024, 8 * ((11025 + 1023) // 1024)
    half = (frames + 1) // 2
    for case, count in (("conv", 48 * 96 * 8 * 128 * frames), ("conv3x3", 48 * 96 * 9 * 512 * frames),
                        ("linear", 512 * 2048 * tokens), ("conv_transp", 96 * 48 * 2 * 512 * frames),
                        *((name, 32 * 64 * 16 * 256 * half) for name in ("conv2d", "conv2d_data", "conv2d_wgt"))):
        assert lines[case]["flops"] == 2 * count, (case, lines[case], 2 * count)
    for case, count in (("layer_norm", 2 * 512 * tokens), ("group_norm", 2 * 512 * tokens),
                        ("attention", 4 * 512 * tokens), ("to_maps", 4 * (2049 + 2048) * frames),
                        ("from_maps", 4 * (2049 + 2048) * frames), ("moments", 4 * 2048 * frames + 2),
                        ("margins", 7 * 48 * frames), ("mirror", 2 * 8 * (128 + 132) * frames),
                        ("standardize", 2 * 4 * 2048 * frames), ("unstandard", 2 * 8 * 1024 * frames),
                        ("add_maps", 3 * 48 * 512 * frames), ("add_planar", 3 * 8 * 1024 * frames),
                        ("column_sums", 48 * 512 * frames + 48), ("activate", 2 * 48 * 512 * frames),
                        ("act_grad", 3 * 48 * 512 * frames), ("latent", 3 * 128 * tokens), ("latent_grad", 5 * 128 * tokens),
                        ("reconstruct", 3 * 2048 * frames), ("grad_norm", 48 * 512 * frames + 32),
                        ("adamw", 9 * 2048 * tokens),
                        ("conv2d_wgt", 32 * 512 * frames + 64 * 256 * half + 32 * 64 * 16)):
        assert lines[case]["bytes"] == 4 * count, (case, lines[case], 4 * count)
    assert lines["attention"]["flops"] == tokens * tokens * 8 * (4 * 64 + 4), lines["attention"]
    assert "sees one segment" in run("--growth", "none.svg", "--python", "none", "attention", status=2)


def text_says_what_it_is() -> None:
    text = run(*LITTLE, "rms", "spectrogram")
    names = [line.split()[0] for line in text.splitlines()[1:]]
    assert names == ["rms", "magnitude", "power", "db"], text
    for line in text.splitlines()[1:]:
        assert re.search(r" ms .*GB/s .*GFLOP/s +\d+ % of (memory|arithmetic)", line), line
    assert "times mean nothing" in run(*LITTLE, "--device", "emulated", "rms").splitlines()[0]


def what_is_not_there_is_said() -> None:
    # No GPU is shown to the driver, also where there is one.
    said = run(*LITTLE, "--device", "cuda", "rms", status=4, CUDA_VISIBLE_DEVICES="")
    assert "device cuda is not available: " in said, said
    assert "no case 'nothing'" in run(*LITTLE, "nothing", status=2)
    assert "device 'gpu'" in run(*LITTLE, "--device", "gpu", status=2)
    assert "0.1 to 36000 seconds" in run("--seconds", "0.01", status=2)
    for case in listed():
        assert case in run("--list") and run("--help").startswith("usage: wavemill-bench")


if __name__ == "__main__":
    every_row_has_a_case()
    for name in ("cpu", "emulated"):
        check(name)
    figures_are_of_the_operation()
    figures_are_of_a_segment()
    text_says_what_it_is()
    what_is_not_there_is_said()
