#!/usr/bin/env python3
"""Growth of `wavemill analyze` with the number of files: seeded one-shots of 0.3 s, time and store size, cold and again.

    bench/scale.py --bin build/bin --out bench/results [--counts 1000,3162,10000,31623,100000]

Writes NAME.json (every figure), NAME.svg (time and store size against the number of files, both axes logarithmic) and
prints a table. The files are made once per count in a temporary folder; the generator is seeded by their number, so
every machine measures the same audio."""
import argparse
import json
import math
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from datetime import date

RATE = 22050
SAMPLES = int(0.3 * RATE)


def one_shot(seed: int) -> bytes:
    """A decaying tone with noise from a linear congruential generator: cheap, and different for every seed."""
    import numpy as np

    generator = np.random.Generator(np.random.Philox(seed))
    t = np.arange(SAMPLES) / RATE
    pitch = 40 * 2 ** (generator.random() * 7)
    decay = 5 + 40 * generator.random()
    noise = generator.standard_normal(SAMPLES) * generator.random() * 0.3
    y = (np.sin(2 * np.pi * pitch * t) * 0.6 + noise) * np.exp(-decay * t)
    return (np.clip(y, -1, 1) * 32767).astype("<i2").tobytes()


def write_wav(path: str, pcm: bytes) -> None:
    head = b"RIFF" + struct.pack("<I", 36 + len(pcm)) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16) + b"data" + struct.pack("<I", len(pcm))
    with open(path, "wb") as f:
        f.write(head + pcm)


def make_files(folder: str, first: int, count: int) -> None:
    for i in range(first, count):
        if i % 1000 == 0:
            os.makedirs(os.path.join(folder, f"{i // 1000:04d}"), exist_ok=True)
        write_wav(os.path.join(folder, f"{i // 1000:04d}", f"{i:06d}.wav"), one_shot(i))


def run(binary: str, home: str, folder: str) -> tuple[float, int]:
    began = time.monotonic()
    done = subprocess.run([os.path.join(binary, "wavemill"), "analyze", "--csv", folder], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env={**os.environ, "WAVEMILL_HOME": home}, check=False)
    seconds = time.monotonic() - began
    if done.returncode != 0:
        sys.exit(f"analyze failed with {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}")
    return seconds, done.stdout.count(b",true,,\n")


def measure(binary: str, folder: str, count: int) -> dict:
    home = tempfile.mkdtemp(prefix="wavemill-scale-home-")
    try:
        cold, _ = run(binary, home, folder)
        time.sleep(1.5)
        again, from_store = run(binary, home, folder)
        stats = subprocess.run([os.path.join(binary, "wavemill"), "store", "stats", "--json"], capture_output=True,
                               env={**os.environ, "WAVEMILL_HOME": home}, check=True)
        disk = json.loads(stats.stdout)["disk_bytes"]
        if from_store != count:
            sys.exit(f"the second run took {from_store} of {count} from the store")
        return {"files": count, "cold_s": cold, "again_s": again, "store_bytes": disk}
    finally:
        shutil.rmtree(home)


def svg(rows: list[dict]) -> str:
    width, height, left, bottom = 640, 400, 70, 50
    series = [("cold_s", "first run, s", "#1f77b4"), ("again_s", "second run, s", "#2ca02c"),
              ("store_mb", "store, MB", "#d62728")]
    for r in rows:
        r["store_mb"] = r["store_bytes"] / 1e6
    values = [r[k] for r in rows for k, _, _ in series]
    x0, x1 = math.log10(rows[0]["files"]), math.log10(rows[-1]["files"])
    y0, y1 = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def px(n: float) -> float:
        return left + (math.log10(n) - x0) / (x1 - x0 or 1) * (width - left - 20)

    def py(v: float) -> float:
        return height - bottom - (math.log10(v) - y0) / (y1 - y0 or 1) * (height - bottom - 20)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
           'font-size="12">', '<rect width="100%" height="100%" fill="white"/>']
    for e in range(y0, y1 + 1):
        out.append(f'<path d="M{left} {py(10 ** e):.1f}H{width - 20}" stroke="#ddd"/>'
                   f'<text x="{left - 8}" y="{py(10 ** e) + 4:.1f}" text-anchor="end">{10 ** e:g}</text>')
    for r in rows:
        out.append(f'<text x="{px(r["files"]):.1f}" y="{height - bottom + 18}" text-anchor="middle">{r["files"]}</text>')
    out.append(f'<text x="{(left + width) / 2}" y="{height - 10}" text-anchor="middle">files of 0.3 s</text>')
    for i, (key, label, colour) in enumerate(series):
        points = " ".join(f'{px(r["files"]):.1f},{py(r[key]):.1f}' for r in rows)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
                   f'<text x="{left + 12}" y="{36 + 16 * i}" fill="{colour}">{label}</text>')
    return "\n".join(out + ["</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bin")
    parser.add_argument("--out", default="bench/results")
    parser.add_argument("--counts", default="1000,3162,10000,31623,100000")
    arguments = parser.parse_args()
    rows = []
    folder = tempfile.mkdtemp(prefix="wavemill-scale-")
    made = 0
    try:
        for count in [int(c) for c in arguments.counts.split(",")]:
            make_files(folder, made, count)
            made = count
            row = measure(os.path.abspath(arguments.bin), folder, count)
            rows.append(row)
            print(f"{count:7d} files: first run {row['cold_s']:7.2f} s ({1e6 * row['cold_s'] / count:6.0f} us each), "
                  f"second {row['again_s']:6.2f} s ({1e6 * row['again_s'] / count:5.0f} us each), "
                  f"store {row['store_bytes'] / 1e6:7.2f} MB ({row['store_bytes'] / count:5.0f} bytes each)", flush=True)
    finally:
        shutil.rmtree(folder)
    name = os.path.join(arguments.out, f"{date.today().isoformat()}-scale")
    machine = {"system": platform.platform(), "processors": os.cpu_count()}
    with open(name + ".json", "w", encoding="utf-8") as f:
        json.dump({"what": "analyze of seeded 0.3 s one-shots", "machine": machine, "rows": rows}, f, indent=1)
        f.write("\n")
    with open(name + ".svg", "w", encoding="utf-8") as f:
        f.write(svg(rows))
    print(f"written: {name}.json, {name}.svg")


if __name__ == "__main__":
    main()
