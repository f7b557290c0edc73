#!/usr/bin/env python3
"""bench/vae.py [--batch N] [--threads N] [--rounds N] [--isa ISA] [--build DIR] [--processor]

A step of training of the spectral autoencoder (128 x 128, channels 32-64-128-256, 4.5 M parameters) beside the same network in
PyTorch with AdamW, clipping and the same threads, in turns; PyTorch both as it is and channels last, of which the faster
counts. Ours keeps a running average of the weights besides. Prints the medians of the fastest steps of each round, their ratio,
and beside it two limits: how many times faster than PyTorch a step would be that does the network's multiplications as fast as
PyTorch's own matrix product, and nothing else; and one that does the 25 of 64 that tiles of 4 x 4 outputs need
(kernels/simd/winograd.h), for free but for them. --processor counts processor time in place of time, for a machine that has other work to do: the means of
each round's steps, with one thread, since threads that wait for each other count too. Needs build/tests/vae_dump, and torch among the peers (tools/bootstrap --bench)."""
import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHANNELS, LATENT, SIDE, STEPS = (32, 64, 128, 256), 64, 128, 8
CONFIG = {"version": 1, "network": "spectral", "frames": SIDE, "mels": SIDE, "channels": list(CHANNELS), "stride_frames": [2] * 4,
          "stride_mels": [2] * 4, "groups": 8, "activation": "silu", "latent": LATENT, "dropout": 0.0,
          "audio": {"rate_hz": 22050, "n_fft": 1024, "hop": 256, "low_hz": 30.0, "high_hz": 11025.0, "floor_db": -80.0,
                    "mean_db": 0.0, "deviation_db": 1.0}}


def gflop(batch: int, share: float = 1) -> float:
    """Of a step: forward and both gradients, but for that of the input; layers between 32 channels and more do `share` of it."""
    total, before, side = 0.0, 1, SIDE
    for i, channels in enumerate(CHANNELS):
        side //= 2
        one = 2 * side * side * 16 * before * channels
        total += one * (5 if i == 0 else 6 * share)  # encoder and decoder
        before = channels
    flat = before * side * side
    total += 3 * 2 * flat * 3 * LATENT  # two for mean and variance, one back
    return 1e-9 * total * batch


def product_rate(clock) -> float:
    """GFLOP/s of PyTorch's matrix product, of the shape of the third layer."""
    import torch
    a, b = torch.randn(4096, 1024), torch.randn(1024, 128)
    best = 1e9
    for _ in range(30):
        start = clock()
        a @ b
        best = min(best, clock() - start)
    return 2e-9 * 4096 * 1024 * 128 / best


def network():
    import torch
    from torch import nn

    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            down, before = [], 1
            for c in CHANNELS:
                down += [nn.Conv2d(before, c, 4, 2, 1), nn.GroupNorm(8, c), nn.SiLU()]
                before = c
            up = [nn.GroupNorm(8, before), nn.SiLU()]
            self.side, self.top = SIDE >> len(CHANNELS), before
            for c in (*reversed(CHANNELS[:-1]), 1):
                up += [nn.ConvTranspose2d(before, c, 4, 2, 1)] + ([nn.GroupNorm(8, c), nn.SiLU()] if c > 1 else [])
                before = c
            self.down, self.up = nn.Sequential(*down), nn.Sequential(*up)
            self.narrow = nn.Linear(self.top * self.side**2, 2 * LATENT)
            self.wide = nn.Linear(LATENT, self.top * self.side**2)

        def forward(self, x):
            mean, logvar = self.narrow(self.down(x).flatten(1)).chunk(2, 1)
            z = mean + torch.exp(logvar / 2) * torch.randn_like(mean)
            kl = ((mean**2 + logvar.exp() - 1 - logvar) / 2).mean(0).clamp(min=0.05).sum()
            return self.up(self.wide(z).view(-1, self.top, self.side, self.side)), kl

    return Autoencoder()


class Theirs:
    def __init__(self, batch: int, last: bool):
        import torch
        self.network, self.x = network(), torch.randn(batch, 1, SIDE, SIDE)
        if last:
            self.network = self.network.to(memory_format=torch.channels_last)
            self.x = self.x.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-3, weight_decay=0.02)

    def step(self, clock=time.perf_counter) -> float:
        import torch
        start = clock()
        y, kl = self.network(self.x)
        loss = ((y - self.x)**2).mean() + 0.01 * kl
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        loss.item()
        return clock() - start

    def fastest(self) -> float:
        return min(self.step() for _ in range(STEPS))

    def mean(self) -> float:
        self.step()
        return statistics.mean(self.step(time.process_time) for _ in range(STEPS - 2))


def run(tool: pathlib.Path, folder: str, batch: int, threads: int, isa: str, steps: int) -> tuple[str, float]:
    """Standard output and processor time."""
    environment = dict(os.environ, **({"WAVEMILL_TEST_ISA": isa} if isa else {}))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([tool, os.path.join(folder, "config.json"), str(batch), str(steps), folder, str(threads)],
                          capture_output=True, text=True, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ours_mean(*which) -> float:
    return (run(*which, STEPS)[1] - run(*which, 2)[1]) / (STEPS - 2)


def ours(*which) -> float:
    done, _ = run(*which, STEPS)
    return next(float(line.split()[1]) for line in done.splitlines() if line.startswith("seconds"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--isa", default="")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--processor", action="store_true")
    a = parser.parse_args()
    a.threads = 1 if a.processor else a.threads
    import numpy as np
    import torch
    torch.set_num_threads(a.threads)
    with tempfile.TemporaryDirectory() as folder:
        np.random.default_rng(1).standard_normal((STEPS, a.batch, SIDE, SIDE)).astype(np.float32).tofile(
            os.path.join(folder, "examples.raw"))
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
            json.dump(CONFIG, f)
        peers, times = {"channels first": Theirs(a.batch, False), "channels last": Theirs(a.batch, True)}, {}
        for _ in range(a.rounds):
            times.setdefault("ours", []).append(
                (ours_mean if a.processor else ours)(a.build / "tests/vae_dump", folder, a.batch, a.threads, a.isa))
            for name, peer in peers.items():
                times.setdefault(name, []).append(peer.mean() if a.processor else peer.fastest())
    medians = {name: statistics.median(t) for name, t in times.items()}
    theirs = min(medians[name] for name in peers)
    work, tiled, rate = gflop(a.batch), gflop(a.batch, 25 / 64), product_rate(
        time.process_time if a.processor else time.perf_counter)
    for name, t in medians.items():
        print(f"{name:16s} {1e3 * t:7.1f} ms a step  ({work / t:5.0f} GFLOP/s)   {' '.join(f'{1e3 * x:.0f}' for x in times[name])}")
    print(f"ratio {theirs / medians['ours']:.2f}   limit by matrix products ({rate:.0f} GFLOP/s, {work:.1f} GFLOP) "
          f"{theirs / (work / rate):.2f}, in tiles ({tiled:.1f} GFLOP) {theirs / (tiled / rate):.2f}   batch {a.batch}, {a.threads} threads, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
