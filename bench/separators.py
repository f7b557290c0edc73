#!/usr/bin/env python3
"""bench/separators.py [--data FILE ...] [--seconds N] [--rounds N] [--librosa-rounds N] [--threads N] [--isa ISA]

Separators without weights on one long stereo signal, FILEs (or some of the sample audio) one after the other
and again, at 44.1 kHz.
Beside hpss_split stands what its user would write with librosa: stft, decompose.hpss with the same margins, istft and the
difference, both channels in one call. Only time is compared here; tests/kernels/parity_librosa.py compares results. Needs
build/tests/bench_separators, and the Python environment of the peers."""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

import librosa
import numpy as np
import soundfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
FILES = ("music_stereo_44k.flac", "drums_tabla_stereo_44k.flac", "piano_a3_stereo_44k.mp3", "music_stereo_44k.mp3")
RATE = 44100


def signal(paths: list, seconds: float) -> np.ndarray:
    parts = []
    for path in paths:
        x, rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert rate == RATE and x.shape[1] == 2, f"{path}: {rate} Hz, {x.shape[1]} channels; wanted stereo at {RATE}"
        parts.append(x)
    whole, frames = np.concatenate(parts), int(seconds * RATE)
    return np.tile(whole, (-(-frames // len(whole)), 1))[:frames]


def peer(x: np.ndarray) -> np.ndarray:
    y = np.ascontiguousarray(x.T)
    parts = librosa.decompose.hpss(librosa.stft(y), margin=2.0)
    h, p = (librosa.istft(part, length=y.shape[1]) for part in parts)
    return np.stack([h, p, y - h - p])


def timed(call, rounds: int) -> tuple:
    """Seconds and processor seconds, each the median of its rounds."""
    seconds, processor = [], []
    for _ in range(rounds):
        begin, busy = time.perf_counter(), time.process_time()
        call()
        seconds.append(time.perf_counter() - begin)
        processor.append(time.process_time() - busy)
    return statistics.median(seconds), statistics.median(processor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=[os.path.join(ROOT, "tests/data", name) for name in FILES])
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--librosa-rounds", type=int, default=1)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--isa", default="")
    args = parser.parse_args()
    x = signal(args.data, args.seconds)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.raw")
        x.tofile(path)
        command = [os.path.join(args.build, "tests/bench_separators"), path, args.threads, str(args.rounds)]
        out = subprocess.run(command + [args.isa] * bool(args.isa), check=True, capture_output=True, text=True).stdout
    print(f"{args.seconds:g} s of stereo, {args.threads} threads")
    ours = {name: tuple(map(float, times)) for name, *times in map(str.split, out.splitlines())}
    for name, (seconds, processor) in ours.items():
        print(f"{name:14} {seconds * 1e3:8.0f} ms, {processor * 1e3:8.0f} ms of processor time")
    if args.librosa_rounds:
        seconds, processor = timed(lambda: peer(x), args.librosa_rounds)
        print(f"{'librosa hpss':14} {seconds * 1e3:8.0f} ms, {processor * 1e3:8.0f} ms of processor time:"
              f" {seconds / ours['hpss_split'][0]:.1f}x, {processor / ours['hpss_split'][1]:.1f}x")


if __name__ == "__main__":
    sys.exit(main())
