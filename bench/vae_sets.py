#!/usr/bin/env python3
"""What `wavemill train` makes of real sounds, by its own choice of preset.

    bench/vae_sets.py --data DIR [--bin build/bin] [--threads N] [--seed 1] [--steps N] [SET...]

DIR has a MANIFEST.tsv with columns `file` and `labels`. For each set: preset, steps and the best of them, minutes by the
clock and of the processor (all of the worker's processes, decoding included), mean squared error of the validation
sounds' reconstructions in parts of the variance of all values, active dimensions and the divergence of each, validation
over training loss (as trained: the mean since the validation before; plain: the training sounds as they are), and the
share of reconstructions that lie nearest to a sound of their own class, by squared distance of spectrograms of their
beginnings, beside that of the sounds themselves, each without itself.

The spectrograms are librosa's and the network is PyTorch's, of the weights and the configuration that training has left;
where their mean squared error is not the one that training said, that is an error. Needs both among the peers
(tools/bootstrap --bench). SET: see SETS; all but the slow ones without an argument."""
import argparse
import csv
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Beginning of the file's path, what its labels must have, the label that is its class.
SETS = {"drums": ("uzu_drumkit/", "", "class"), "samples": ("sonic_pi/", "", "class"), "digits": ("fsdd/", "take=5", "digit"),
        "dogs": ("esc10/001", "", ""), "piano": ("tonejs_audio/", "", ""), "all digits": ("fsdd/", "", "digit"),
        "all esc10": ("esc10/", "", "class")}
PARTS_MOST = 8
SLOW = ("all digits", "all esc10")


def gather(data: pathlib.Path, name: str, folder: pathlib.Path) -> int:
    """The set's files, under folders of their class."""
    begins, has, key = SETS[name]
    count = 0
    with open(data / "MANIFEST.tsv", encoding="utf-8") as f:
        for row in csv.DictReader(f, delimiter="\t"):
            labels = dict(x.split("=", 1) for x in row["labels"].split(";") if "=" in x)
            if not row["file"].startswith(begins) or (has and has not in row["labels"].split(";")):
                continue
            to = folder / labels[key] if key else folder
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(data / row["file"], to / f"{count}{pathlib.Path(row['file']).suffix}")
            count += 1
    if count == 0:
        raise SystemExit(f"{name}: no file of it is in {data}")
    return count


def processor_s(home: str) -> float:
    """Of all processes of this home, and of those that they have outlived."""
    total, mark = 0, f"WAVEMILL_HOME={home}".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f, open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
                if mark in f.read().split(b"\0"):
                    total += sum(map(int, fields[11:15]))
        except OSError:
            continue
    return total / os.sysconf("SC_CLK_TCK")


# ---- what the model makes of the sounds ----

def read_pack(path: str):
    """Hash, part, label and samples of each sound (runtime/pack.h)."""
    import numpy as np

    with open(path, "rb") as f:
        data = f.read()
    _, _, rate, count, table = struct.unpack_from("<4sIIIQ", data)
    for i in range(count):
        _, label, samples, at, _, part = struct.unpack_from("<32s64sQQIB", data, table + 128 * i)
        yield rate, part, label.rstrip(b"\0").decode(), np.frombuffer(data, "<f4", samples, at)


def spectrogram(c: dict, samples):
    """As models/vae.md has it, by librosa: of all samples, as many as an example has."""
    import librosa
    import numpy as np

    a = c["audio"]
    cut = np.zeros((c["frames"] - 1) * a["hop"], np.float32)
    cut[:len(samples)] = samples
    power = librosa.feature.melspectrogram(y=cut, sr=a["rate_hz"], n_fft=a["n_fft"], hop_length=a["hop"], pad_mode="constant",
                                           n_mels=c["mels"], fmin=a["low_hz"], fmax=a["high_hz"])
    return (np.maximum(10 * np.log10(np.maximum(power.T, 1e-10)), a["floor_db"]) - a["mean_db"]) / a["deviation_db"]


def examples(c: dict, samples) -> list:
    """What is validated of a sound (models/vae_examples.h); its beginning first."""
    wanted = (c["frames"] - 1) * c["audio"]["hop"]
    parts = max(1, min(PARTS_MOST, -(-len(samples) // wanted)))
    places = [(len(samples) - wanted) * k // (parts - 1) if k else 0 for k in range(parts)]
    return [spectrogram(c, samples[at:at + wanted]) for at in places]


def reconstruct(c: dict, p: dict, x):
    """[n][frames][mels] through the network without noise, by PyTorch. Ours are [H][W][in][out]."""
    import torch
    from torch.nn import functional as nn

    def act(name: str, x):
        if c["groups"]:
            x = nn.group_norm(x, c["groups"], p[name + ".gain"], p[name + ".shift"])
        return nn.silu(x) if c["activation"] == "silu" else nn.leaky_relu(x, 0.2)

    def strides(i: int) -> dict:
        pair = (c["stride_frames"][i], c["stride_mels"][i])
        return {"stride": pair, "padding": tuple(1 if s == 1 else s // 2 for s in pair)}

    depth, x = len(c["channels"]), x[:, None]
    for i in range(depth):
        name = f"encoder.{i}"
        x = act(name, nn.conv2d(x, p[name + ".weight"].permute(3, 2, 0, 1), p[name + ".bias"], **strides(i)))
    _, channels, height, width = x.shape
    mean = (x.permute(0, 2, 3, 1).flatten(1) @ p["latent.weight"] + p["latent.bias"])[:, :c["latent"]]
    x = mean @ p["decoder.input.weight"] + p["decoder.input.bias"]
    x = act("decoder.input", x.view(-1, height, width, channels).permute(0, 3, 1, 2))
    for n in range(depth):
        name = f"decoder.{n}"
        x = nn.conv_transpose2d(x, p[name + ".weight"].permute(3, 2, 0, 1), p[name + ".bias"], **strides(depth - 1 - n))
        x = act(name, x) if n + 1 < depth else x
    return torch.squeeze(x, 1)


def tensors(path: str) -> dict:
    import numpy as np
    import torch

    with open(path, "rb") as f:
        data = f.read()
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    return {name: torch.tensor(np.frombuffer(data, "<f4", (t["data_offsets"][1] - t["data_offsets"][0]) // 4,
                                             8 + size + t["data_offsets"][0]).reshape(t["shape"]))
            for name, t in header.items() if name != "__metadata__"}


def nearest(model: str, pack: str, said: float) -> tuple[float | None, float | None]:
    """Shares of reconstructions, and of sounds, whose nearest sound is of their class; None for a single class."""
    import numpy as np
    import torch

    with open(os.path.join(model, "config.json"), encoding="utf-8") as f:
        c = json.load(f)
    _, parts, labels, samples = zip(*read_pack(pack))
    weights, chosen = tensors(os.path.join(model, "model.safetensors")), 1 if 1 in parts else 0

    def heard(x) -> np.ndarray:
        with torch.no_grad():
            return reconstruct(c, weights, torch.tensor(x)).numpy()

    validated = np.stack([e for s, part in zip(samples, parts) if part == chosen for e in examples(c, s)]).astype(np.float32)
    x = np.stack([examples(c, s)[0] for s in samples]).astype(np.float32)
    y, error = heard(x), float(np.mean((heard(validated) - validated)**2))
    if not abs(error - said) <= 0.01 * said:
        raise SystemExit(f"{model}: the mean squared error is {error:.5f} here, training said {said:.5f}")
    if len(set(labels)) == 1:
        return None, None

    def share(of, without_itself: bool) -> float:
        apart = ((of[:, None].astype(np.float64) - x[None])**2).sum((2, 3))
        if without_itself:
            np.fill_diagonal(apart, np.inf)
        return float(np.mean([labels[i] == labels[k] for i, k in enumerate(apart.argmin(1))]))

    return share(y, False), share(x, True)


# ---- one set ----

def measure(a: argparse.Namespace, name: str) -> dict:
    with tempfile.TemporaryDirectory(prefix="wavemill-sets-") as folder:
        home, program = os.path.join(folder, "home"), os.path.join(a.bin, "wavemill")
        environment = {**os.environ, "WAVEMILL_HOME": home}
        count = gather(a.data, name, pathlib.Path(folder, "sounds"))

        def run(*arguments: str) -> list[dict]:
            done = subprocess.run([program, *arguments, "--json"], env=environment, capture_output=True, text=True, check=False)
            if done.returncode not in (0, 1) or not done.stdout:
                raise SystemExit(f"{name}: {arguments[:2]}: exit {done.returncode}: {done.stderr}")
            return [json.loads(line) for line in done.stdout.splitlines()]

        served = subprocess.Popen([program, "serve", "--threads", str(a.threads)], env=environment, stderr=subprocess.PIPE)
        try:
            while b": ready" not in (line := served.stderr.readline()):
                if not line:
                    raise SystemExit(f"serve ended with {served.wait()}")
            made = run("dataset", "create", "d", os.path.join(folder, "sounds"))[-1]["results"]
            before, began = processor_s(home), time.monotonic()
            steps = ["--steps", str(a.steps)] if a.steps else []
            lines = run("train", "d", "--name", "m", "--seed", str(a.seed), *steps)
            wall, busy = time.monotonic() - began, processor_s(home) - before
        finally:
            served.terminate()
            served.wait()
        r, model = lines[-1]["results"], os.path.join(home, "models", "m")
        with open(os.path.join(model, "training.json"), encoding="utf-8") as f:
            preset = json.load(f)["preset"]
        trained = next(x["validation"]["train_loss"] for x in lines if x.get("validation", {}).get("step") == r["best_step"])
        pack, = pathlib.Path(home, "datasets/d/packs").glob("*.pack")
        ours, theirs = nearest(model, str(pack), r["reconstruction"])
        return {"set": name, "files": count, "sounds": made["files"], "validation": made["validation"], "seconds": made["duration_s"],
                "preset": preset, "steps": r["steps"], "best": r["best_step"], "end": r["end"], "minutes": wall / 60,
                "processor_minutes": busy / 60, "reconstruction": r["reconstruction"], "active": r["active_dimensions"],
                "nats": r["kl_of_active_nats"], "ratio": r["validation_loss"] / trained,
                "plain_ratio": r["validation_loss"] / r["train_loss"], "own_class": ours, "own_class_of_sounds": theirs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--bin", default=str(ROOT / "build/bin"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int)
    parser.add_argument("sets", nargs="*", metavar="SET")
    a = parser.parse_args()
    if unknown := [s for s in a.sets if s not in SETS]:
        parser.error(f"{unknown}: {', '.join(SETS)}")
    print("| set | sounds | preset | steps (best) | minutes (of the processor) | reconstruction | active, nats each "
          "| validation / training (plain) | own class (sounds) |\n" + 9 * "|---" + "|", flush=True)
    for name in a.sets or [s for s in SETS if s not in SLOW]:
        m = measure(a, name)
        own = "-" if m["own_class"] is None else f"{m['own_class']:.0%} ({m['own_class_of_sounds']:.0%})"
        print(f"| {name} | {m['sounds']}, {m['seconds']:.0f} s | {m['preset']} | {m['steps']} ({m['best']}) | {m['minutes']:.1f} "
              f"({m['processor_minutes']:.1f}) | {m['reconstruction']:.3f} | {m['active']}, {m['nats']:.2f} | {m['ratio']:.2f} "
              f"({m['plain_ratio']:.2f}) | {own} |\n<!-- {json.dumps(m)} -->", flush=True)


if __name__ == "__main__":
    main()
