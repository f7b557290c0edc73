#!/usr/bin/env python3
"""Resident memory of `wavemill analyze` and `wavemill features` on one large file, or of `wavemill separate` on files of
several lengths: the peak of each process.

    bench/memory.py --bin build/bin [--megabytes 500]
    bench/memory.py --bin build/bin --separate MODEL [--seconds 60 600 ...]

Makes a seeded stereo WAV of that size, runs the commands with nothing running before, samples VmHWM of every process of
the run, and prints a table. MODEL is a name without weights, or a .safetensors file. A separation needs room on the disk
for its spool: 40 bytes a frame of four stems, 19 GB for three hours."""
import argparse
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time


def make(path: str, megabytes: int) -> None:
    import numpy as np

    generator = np.random.Generator(np.random.Philox(7))
    data = megabytes << 20
    with open(path, "wb") as f:
        f.write(b"RIFF" + struct.pack("<I", 36 + data) + b"WAVEfmt " +
                struct.pack("<IHHIIHH", 16, 1, 2, 44100, 176400, 4, 16) + b"data" + struct.pack("<I", data))
        for _ in range(megabytes):
            f.write((generator.standard_normal(1 << 19) * 3000).astype("<i2").tobytes())


def peaks(home: str, seen: dict) -> None:
    """Adds the peak resident kB of every process whose environment names this home."""
    mark = f"WAVEMILL_HOME={home}".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if mark not in f.read().split(b"\0"):
                    continue
            with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                status = dict(line.split(":", 1) for line in f if ":" in line)
            name = status["Name"].strip()
            seen[name] = max(seen.get(name, 0), int(status["VmHWM"].split()[0]))
        except (OSError, KeyError):
            continue


def run(binary: str, arguments: list[str], label: str) -> None:
    home = tempfile.mkdtemp(prefix="wavemill-memory-home-")
    seen: dict = {}
    began = time.monotonic()
    process = subprocess.Popen([os.path.join(binary, "wavemill"), *arguments], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env={**os.environ, "WAVEMILL_HOME": home})
    while process.poll() is None:
        peaks(home, seen)
        time.sleep(0.02)
    peaks(home, seen)
    print(f"{label}: exit {process.returncode}, {time.monotonic() - began:.2f} s; peak resident MB: "
          + ", ".join(f"{n} {kb / 1024:.1f}" for n, kb in sorted(seen.items())), flush=True)
    time.sleep(1.5)
    shutil.rmtree(home, ignore_errors=True)
    if process.returncode:
        sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bin")
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--separate", metavar="MODEL")
    parser.add_argument("--seconds", type=int, nargs="+", default=[60, 600])
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="wavemill-memory-")
    try:
        path = os.path.join(folder, "large.wav")
        for seconds in arguments.seconds if arguments.separate else ():
            make(path, -(-seconds * 176400 // (1 << 20)))
            run(arguments.bin, ["separate", "--model", arguments.separate, "--out", os.path.join(folder, "stems"), path],
                f"separate, {seconds} s")
            shutil.rmtree(os.path.join(folder, "stems"))
        if arguments.separate:
            return
        make(path, arguments.megabytes)
        run(arguments.bin, ["analyze", path], f"analyze, {arguments.megabytes} MB")
        for kind in ("logmel", "stft"):
            run(arguments.bin, ["features", path, "--kind", kind, "--out", os.path.join(folder, "x.npy")],
                f"features {kind}, {arguments.megabytes} MB")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
