#!/usr/bin/env python3
"""bench/htdemucs.py [--model FILE] [--threads N] [--rounds N] [--isa ISA]

One segment of full-size htdemucs beside PyTorch running demucs 4.1.0, with the same threads, in turns. Without --model the
weights are random, made by tests/reference/htdemucs_reference.py: time does not depend on them. Prints the medians, their
ratio, and beside it the limit: how many times faster than PyTorch a network would be whose every operation ran as fast as
PyTorch's own matrix product (334.9 GFLOP for 7.8 s). Needs build/tests/network_dump, and torch and demucs among the peers
(tools/bootstrap --bench)."""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
GFLOP = 334.9  # of a segment of htdemucs; models/htdemucs.md


def ours(tool: pathlib.Path, model: pathlib.Path, folder: pathlib.Path, threads: int, isa: str) -> float:
    environment = dict(os.environ, **({"WAVEMILL_TEST_ISA": isa} if isa else {}))
    done = subprocess.run([tool, "segment", model, folder / "in.raw", folder / "out.raw", str(threads), "2"],
                          capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout.split()[1])


def product_rate(threads: int) -> float:
    """GFLOP/s of PyTorch's matrix product in the shape of the transformer's wide layers."""
    import torch
    a, b = torch.randn(2688, 512), torch.randn(512, 2048)
    best = 1e9
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2e-9 * 2688 * 512 * 2048 / best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--isa", default="")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    a = parser.parse_args()
    import numpy as np
    import torch
    from demucs.hf import load_safetensors_model
    torch.set_num_threads(a.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if not a.model:
            subprocess.run([sys.executable, ROOT / "tests/reference/htdemucs_reference.py", folder, "--seconds", "7.8"],
                           check=True, capture_output=True)
        model = a.model or folder / "model.safetensors"
        network = load_safetensors_model(model).eval()
        mix = (0.1 * np.random.default_rng(1).standard_normal((343980, 2))).astype(np.float32)
        mix.tofile(folder / "in.raw")
        x = torch.from_numpy(np.ascontiguousarray(mix.T))[None]
        mine, theirs = [], []
        with torch.no_grad():
            network(x)
            for _ in range(a.rounds):
                mine.append(ours(a.build / "tests/network_dump", model, folder, a.threads, a.isa))
                start = time.perf_counter()
                y = network(x)[0].numpy()
                theirs.append(time.perf_counter() - start)
        z = np.fromfile(folder / "out.raw", dtype=np.float32).reshape(343980, -1, 2).transpose(1, 2, 0)
        snr = 10 * np.log10(np.sum(y.astype(np.float64) ** 2) / np.sum((z.astype(np.float64) - y) ** 2))
    us, them, rate = statistics.median(mine), statistics.median(theirs), product_rate(a.threads)
    print(f"wavemill {us:.2f} s, PyTorch {them:.2f} s a segment of 7.8 s, {a.threads} threads, medians of {a.rounds}")
    print(f"ratio {them / us:.2f}; limit by PyTorch's matrix product ({rate:.0f} GFLOP/s) {them * rate / GFLOP:.2f}")
    print(f"SNR against PyTorch {snr:.1f} dB")
    return 0 if snr >= 110 else 1


if __name__ == "__main__":
    sys.exit(main())
