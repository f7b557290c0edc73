"""tools/gpu-check without a GPU: a whole rehearsal on the emulator, and what it makes of outputs that only other machines
give. With the argument `builds` instead: everything compiled by nvcc."""
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import types

ROOT = os.environ.get("WAVEMILL_SOURCE") or os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
TOOL = os.path.join(ROOT, "tools", "gpu-check")
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("gpu_check", TOOL)
gpu_check = importlib.util.module_from_spec(importlib.util.spec_from_loader("gpu_check", loader))
loader.exec_module(gpu_check)
sys.path.insert(0, os.path.join(ROOT, "tools", "gpu"))
import build  # noqa: E402
import measure  # noqa: E402
import report  # noqa: E402
import sanitizer  # noqa: E402
import separation  # noqa: E402
import toolkit  # noqa: E402
import worst  # noqa: E402

SPEED = tuple(f"separation, {p}, {n} at once" for p in separation.PRECISIONS for n in separation.BATCHES)
SONGS = tuple(f"separation, {p}, songs" for p in separation.PRECISIONS)
MEASURED = ("log-mel", "log-mel: cuFFT and separate kernels", "log-mel: the same, 4096 frames at once", "stft",
            "stft: cuFFT and separate kernels", "stft: the same, 4096 frames at once", "rms", "peak", "limits",
            *SONGS, *(row for row in SPEED if ", 1 at" in row), *measure.ALONE, *measure.NETWORKS,
            *measure.COPIES.values(), *measure.LAUNCHES.values())
NOT_RUN = (*(f"{row}: torch" for row in measure.TORCH), *(f"separation, {row}: torch" for row in separation.PEERS),
           *(row for row in SPEED if ", 1 at" not in row), "rms: cuFFT and separate kernels",
           "peak: cuFFT and separate kernels", "rms: the same, 4096 frames at once",
           "peak: the same, 4096 frames at once")
CARRIED_MOST = 60e6
BARS = {"log-mel": 2e-3, "stft": 1.75e-3, "default analysis": 6e-3, "resample": 3e-3, "hpss": 40e-3, "search1": 60e-6,
        "search": 1.5e-3}


def table_rows() -> set:
    """Functions of the devices' table but the spectral row's, and the outputs of that one that have a twin."""
    table = re.search(r"static const struct ops ops = \{(.*?)\};", build.read("kernels/ops_cuda.cu"), re.S)[1]
    functions = re.findall(r"\.(\w+) = (\w+)_cuda,", table)
    assert all(field == function for field, function in functions), functions
    outputs = re.findall(r"SPECTRAL_([A-Z]+)\b", build.read("kernels/spectral.h").split("enum spectral_output", 1)[1]
                         .split("}", 1)[0])
    there = re.search(r"\.spectral_outputs = ([^,]*),", table)[1]
    wanting = re.findall(r"1u << SPECTRAL_([A-Z]+)", there)
    names = {o.lower() for o in outputs if o not in ("OUTPUTS", *wanting)}
    return names | {field for field, _ in functions if field != "spectral"}


def run(*arguments, **environment) -> subprocess.CompletedProcess:
    plain = {k: v for k, v in os.environ.items() if k not in ("OUT", "WAVEMILL_MODULES")}
    return subprocess.run([sys.executable, TOOL, *arguments], capture_output=True, text=True, timeout=600, check=False,
                          env={**plain, **environment})


def test_rehearsal_has_every_row():
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "carried")
        done = run("--emulated", "--limit", "570", "--out", os.path.join(folder, "results"), OUT=out)
        assert done.returncode == 0, done.stdout + done.stderr
        names = os.listdir(out)
        assert len(names) == 1 and names == os.listdir(os.path.join(folder, "results")), names
        with open(os.path.join(out, names[0]), encoding="utf-8") as stream:
            kept = json.load(stream)
    rows = {(r["group"], r["name"]): r for r in kept["rows"]}
    assert len(rows) == len(kept["rows"]), "two rows of one name"
    passed = {("build", "emulated"), ("determinism", "every operation, three times")}
    passed |= {("parity", t.name) for t in build.device_tests()} | {("separation", n) for n in separation.CHECKS}
    not_run = {("bench", n) for n in NOT_RUN} | {("sanitizer", n) for n in sanitizer.TOOLS}
    not_run |= {("sanitizer", gpu_check.NETWORK_ROW.format(n)) for n in gpu_check.NETWORK_TOOLS}
    measured = {("bench", n) for n in MEASURED}
    no_twin = {("bench", n) for n in ("flux", "poly", *measure.NETWORKS)
               if n not in table_rows() | {"conv3x3", "linear"}}
    for status, expected in (("failed", set()), ("passed", passed), ("measured", measured - no_twin),
                             ("not run", not_run | no_twin)):
        assert {n for n, r in rows.items() if r["status"] == status} == expected, (status, kept["rows"])
    assert all(rows[n]["seconds"] > 0 for n in measured - no_twin if n[1] != "limits"), "a time that is not positive"
    assert all(rows[n]["detail"] for n in not_run | no_twin), "a row that is not run says no reason"
    for name in (*measure.OPERATIONS, *measure.ALONE, *measure.NETWORKS):
        row = rows["bench", name]
        if row["status"] == "measured":
            assert row["bytes"] > 0 and row["flops"] > 0 and "allows" in row["detail"], row
            assert row.get("bar") == BARS.get(name) and "reached" not in row, row
    every_operation_is_checked(rows)
    networks_are_a_graph(rows)


def networks_are_a_graph(rows: dict) -> None:
    """As many launches as layers ask for, whatever runs together; from the second run on one, of a graph."""
    for name in separation.CHECKS:
        row = rows["separation", name]
        assert 150 < row["launches"] < 250 and row["graph_launches"] == 1 and row["launches_later"] == 0, row
        assert row["db"] >= row["least_db"] and row["db_batch"] >= row["least_db"] and row["equal"] is True, row
    for name in SPEED:
        row = rows["bench", name]
        if row["status"] == "measured":
            assert row["launches"] == rows["separation", "4 stems, fp32"]["launches"], row
            assert "then one graph" in row["detail"] and row["bytes_used"] > 0, row


def test_what_networks_say_is_judged():
    good = {"row": "4 stems, fp32", "db": 115, "db_batch": 115, "batch": 8, "least_db": 110, "equal": True,
            "launches": 378, "graph_launches": 1, "launches_later": 0, "passed": True}
    rows = report.Rows()
    bad = {**good, "row": "4 stems, tf32", "passed": False}
    separation.add_checks(rows, (5, f"{json.dumps(good)}\n{json.dumps(bad)}\nseparation: the GPU is lost\n"))
    states = {r["name"]: (r["status"], r["detail"]) for r in rows.rows}
    assert states["4 stems, fp32"][0] == "passed" and states["4 stems, tf32"][0] == "failed"
    assert states["6 stems, bf16"] == ("failed", "the program ended with 5: separation: the GPU is lost")
    assert rows.failed()
    rows, speed = report.Rows(), {"row": "fp32, 8 segments", "seconds": 1, "least": 1, "most": 1, "with_copies": 2,
                                  "song_segments": 42, "song_seconds": 60, "launches": 378, "bytes_used": 4.1e9}
    alone = separation.add_speed(rows, (0, json.dumps(speed) + '\n{"row":"fp32, 1 segments","not_run":"memory"}'))
    details = {r["name"]: r["detail"] for r in rows.rows}
    assert "NOT KEPT" in details["separation, fp32, 8 at once"] and "47.25 launches" in details[
        "separation, fp32, 8 at once"], details
    assert details["separation, fp32, 1 at once"] == "memory" and alone == {}
    peer = {"row": "tf32, eager", "seconds": 3, "db": 60, "version": "2"}
    rows = report.Rows()
    separation.add_peers(rows, (0, json.dumps(peer)), {"tf32": 1.5})
    assert rows.rows[1]["times"] == 2 and rows.rows[0]["status"] == "not run" and not rows.failed()


def test_what_is_carried_is_small():
    """To a machine with a GPU goes what git has: weights are made there."""
    said = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "-c", "-o", "--exclude-standard"], capture_output=True,
                          check=True).stdout
    files = [os.path.join(ROOT, os.fsdecode(name)) for name in said.split(b"\0") if name]
    carried = sum(os.path.getsize(f) for f in files if os.path.isfile(f) and not os.path.islink(f))
    assert 1e6 < carried < CARRIED_MOST, f"{carried / 1e6:.1f} MB"


def every_operation_is_checked(rows: dict) -> None:
    """Each row of the devices' table has a worst difference and a time."""
    different = set()
    for (group, _), row in rows.items():
        different |= set(row.get("worst", {})) if group == "parity" else set()
    assert table_rows() <= different, table_rows() - different
    assert table_rows() <= {"mel", *measure.OPERATIONS, *measure.ALONE, *measure.NETWORKS}


def test_without_a_gpu_it_says_so():
    done = run(CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 4 and "there is no GPU to check" in done.stderr, (done.returncode, done.stderr)
    assert run("--target", "sm90").returncode == 2
    assert run("--emulated", CC="no-such-compiler").returncode == 5


# What compute-sanitizer prints; the refusal as one machine's sandbox gave it.
CLEAN = "========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 0 errors\n"
FOUND = ("========= COMPUTE-SANITIZER\n========= Invalid __global__ write of size 4 bytes\n"
         "=========     at memcheck_kernel(float *)+0x50\n========= ERROR SUMMARY: 3 errors\n")
RACE = ("========= COMPUTE-SANITIZER\n========= Error: Race reported between Write access\n"
        "========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)\n")
NO_RACE = "========= COMPUTE-SANITIZER\n========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n"
REFUSED = ("========= COMPUTE-SANITIZER\n========= Error: Device not supported\n========= Program hit error 999\n"
           "========= ERROR SUMMARY: 1 error\n")


def test_sanitizer_output_is_judged():
    judge = sanitizer.judge
    assert judge(0, CLEAN) == (0, "") and judge(0, NO_RACE) == (0, "")
    assert judge(97, FOUND) == (3, "Invalid __global__ write of size 4 bytes")
    assert judge(97, RACE).errors == 2
    assert judge(97, REFUSED) == (-1, "Error: Device not supported")
    assert judge(11, CLEAN).errors == -1, "a program that died has not passed"
    assert judge(0, "device_check: fine\n").errors == -1, "without a count nothing is believed"
    assert judge(124, "\ntook over 90 s") == (-1, "took over 90 s")


def sanitizer_row(*outputs):
    answers = list(outputs)
    return sanitizer.check("memcheck", lambda tool, command: answers.pop(0), ["planted"], ["device_check"])[:2]


def test_sanitizer_must_tell_errors_apart():
    assert sanitizer_row((97, FOUND), (0, CLEAN), (0, CLEAN))[0] == "passed"
    assert sanitizer_row((97, FOUND), (0, CLEAN), (97, FOUND))[0] == "failed"
    assert sanitizer_row((0, CLEAN)) == ("not run", "it does not see a planted error on this machine")
    assert sanitizer_row((97, FOUND), (97, FOUND))[0] == "not run"
    assert sanitizer_row((97, REFUSED)) == ("not run", "Error: Device not supported")
    assert sanitizer_row((97, FOUND), (0, CLEAN), (124, "\nno time was left")) == ("not run", "no time was left")


def session(*answers):
    options = types.SimpleNamespace(limit=100, emulated=False, quick=True, jobs=1)
    s = gpu_check.Session(options, "/nonexistent")
    s.made = dict.fromkeys(["module", "device_check", "separation", "planted",
                            *(t.program for t in build.device_tests())], "")
    left = list(answers)
    s.run = lambda command, most, **environment: left.pop(0) if len(left) > 1 else left[0]
    return s


def test_failures_fail():
    for status, said in ((1, "FAIL a\n2 tests, 1 failed\n"), (0, "0 tests, 0 failed\n"), (124, "took over"), (0, "")):
        s = session((status, said))
        gpu_check.parity(s)
        assert all(r["output"] == said for r in s.rows.rows)
        assert s.rows.failed() and all(r["status"] == "failed" for r in s.rows.rows), s.rows.rows
    for status, said in ((1, '{"case":"a","equal":false}\n'), (0, ""), (4, "no GPU\n")):
        s = session((status, said))
        gpu_check.determinism(s)
        assert s.rows.failed(), s.rows.rows
    s = session((0, ""))
    s.made = {"module": "kernel.cu: error"}
    gpu_check.parity(s)
    assert "kernel.cu: error" in s.rows.rows[0]["detail"] and s.rows.failed()


def test_a_missing_sanitizer_is_no_failure():
    found, toolkit.find_sanitizer = toolkit.find_sanitizer, lambda nvcc: ""
    try:
        s = session((0, ""))
        gpu_check.sanitize(s, types.SimpleNamespace(nvcc="nvcc"))
    finally:
        toolkit.find_sanitizer = found
    assert [r["detail"] for r in s.rows.rows] == ["compute-sanitizer is not installed"] * 7 and not s.rows.failed()


def test_what_was_not_measured_says_so():
    ours = {"row": "log-mel", "seconds": 0.002, "least": 0.0019, "most": 0.003, "bytes": 1e9, "flops": 1e10,
            "baseline": 0.008, "baseline_chunked": 0.006, "difference": 0.1}
    rows = report.Rows()
    measure.add_all(rows, (139, json.dumps(ours) + "\nbench_device: the GPU is lost\n"),
                    (0, '{"row":"log-mel","seconds":0.02,"least":0.02,"most":0.02,"version":"2"}'))
    by_name = {r["name"]: r for r in rows.rows}
    assert by_name["log-mel"]["status"] == "measured" and by_name["log-mel: torch"]["times"] == 10
    assert by_name["hpss"]["status"] == "not run"
    assert "differ by 1.0e-01" in by_name["log-mel: cuFFT and separate kernels"]["detail"]
    assert by_name["stft"]["detail"] == "the program ended with 139: bench_device: the GPU is lost"
    assert by_name["limits"]["status"] == "not run" and not rows.failed()


def test_determinism_is_checked_of_every_operation():
    header, program = build.read("bench/gpu/batch.h"), build.read("bench/gpu/device_check.c")
    for name in re.findall(r"\b(GPU_\w+)\b", header.split("enum gpu_op {", 1)[1].split("}", 1)[0]):
        assert name == "GPU_OPS" or re.search(rf'"[^"]+", (\.op = )?{name}\b', program), name
    calls = "".join(build.read(name) for name in ("bench/gpu/batch.c", "bench/network.c", "bench/network_run.c"))
    called = set(re.findall(r"\b(\w+)\((?:n->)?ex,", calls))
    outputs = {o.lower() for o in re.findall(r'"[^"]+", SPECTRAL_(\w+)', program)}
    assert table_rows() <= called | outputs, table_rows() - called - outputs


def test_bars_are_judged_at_full_size_only():
    slow = {"bar": 0.006, "reached": False}
    assert measure.bar_of({}) == "" and measure.bar_of(slow) == ", bar 6 ms: NOT REACHED"
    assert measure.bar_of({**slow, "reached": True}).endswith("6 ms: reached")
    assert measure.bar_of({"bar": 0.006}).endswith("not judged at these sizes")


def test_worst_differences_are_read():
    said = "    rms: worst 5.4e-08\n    peak: worst 0.0e+00\n    case 3 (worst of all): 1e-3\n    rms: worst 1.0e-07\n"
    found = worst.parse(said + "    mfcc: 0.19 of the tolerance\npass a\n")
    assert {row: worst.text(f) for row, f in found.items()} == {"rms": "1.0e-07", "peak": "0", "mfcc": "0.19 tol"}


def fake_nvcc(folder: str, release: str) -> str:
    os.makedirs(os.path.join(folder, "bin"))
    path = os.path.join(folder, "bin", "nvcc")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(f'#!/bin/sh\ncase $1 in --version) echo "release {release}, V{release}.1" ;; esac\n')
    os.chmod(path, 0o755)
    return path


def touch(path: str, text: str = "") -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    return path


def test_toolkits_are_put_together():
    with tempfile.TemporaryDirectory() as folder:
        root, cu12, cu13 = (os.path.join(folder, f) for f in ("root", "cu12", "cu13"))
        nvcc = fake_nvcc(root, "13.0")
        assert toolkit.look_at(nvcc, [])[1] == f"{nvcc} 13.0 lacks cuFFT and the CUDA runtime's library"
        runtime = touch(os.path.join(root, "targets", "x86_64-linux", "lib", "libcudart_static.a"))
        for wheel, version in ((cu12, 11), (cu13, 12)):
            touch(os.path.join(wheel, "include", "cufft.h"), f"#define CUFFT_VER_MAJOR {version}\n")
            touch(os.path.join(wheel, "lib", f"libcufft.so.{version}"))
        assert toolkit.look_at(nvcc, [cu12])[0] is None, "cuFFT of another release"
        kit, _ = toolkit.look_at(nvcc, [cu12, cu13])
        assert kit.cufft.startswith(cu13) and kit.includes == [os.path.join(cu13, "include")] and kit.cudart == runtime
        old = fake_nvcc(os.path.join(folder, "old"), "11.8")
        assert toolkit.look_at(old, [cu13])[1].endswith("is 11.8, older than 12.4")
    assert [toolkit.target_of(c) for c in ([9, 0], [8, 6], [7, 5], [10, 0])] == ["sm_90a", "sm_86", "sm_75", "sm_100"]


def test_programs_that_hang_end():
    status, said = toolkit.run(["sh", "-c", "echo begun; sleep 100 & sleep 100"], 0.5)
    assert status == 124 and said.startswith("begun"), (status, said)
    assert toolkit.run(["/nonexistent"], 1)[0] == 127


def builds() -> None:
    done = run("--build-only")
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    if sys.argv[1:] == ["builds"]:
        builds()
    else:
        for name, test in list(globals().items()):
            if name.startswith("test_"):
                with contextlib.redirect_stdout(io.StringIO()):  # rows of outputs that are made up
                    test()
                print(f"pass {name}", flush=True)
