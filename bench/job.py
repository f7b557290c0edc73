#!/usr/bin/env python3
"""The whole job: a folder analysed cold by `wavemill analyze`, by librosa in two processes, and only decoded.

    bench/job.py --data DIR [--bin build/bin] [--rounds 5] [--json]

Takes the files that libsndfile opens. Alternates ours, decoding alone (two threads, the same decoder) and, in the first
rounds, librosa (the default features and their statistics, two processes); prints medians and ratios. Also the queue's
overhead: the share of two cores' time that is neither an item's own nor start-up."""
import argparse
import csv
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

WORKERS = 2


def openable(folder: str) -> list[str]:
    import soundfile

    found = []
    for root, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = os.path.join(root, name)
            try:
                with soundfile.SoundFile(path) as f:
                    if f.frames > 1 << 40:  # of unknown length: librosa cannot load it
                        continue
                    f.read(1)
                found.append(path)
            except (soundfile.LibsndfileError, RuntimeError, OSError):
                continue
    return found


def librosa_one(path: str) -> int:
    """What our default analysis gives, as a librosa user writes it."""
    import librosa
    import numpy as np

    y, sr = librosa.load(path, sr=None, mono=True)
    f = librosa.feature
    magnitude = np.abs(librosa.stft(y))
    mel = librosa.power_to_db(f.melspectrogram(S=magnitude**2, sr=sr))
    parts = [f.rms(y=y), f.zero_crossing_rate(y), mel, f.mfcc(S=mel, n_mfcc=20), f.spectral_centroid(S=magnitude, sr=sr),
             f.spectral_bandwidth(S=magnitude, sr=sr), f.spectral_rolloff(S=magnitude, sr=sr), f.spectral_flatness(S=magnitude)]
    if sr / 2 > 6400:
        parts.append(f.spectral_contrast(S=magnitude, sr=sr))
    values = 0
    for part in parts:
        for series in (part, np.diff(part, axis=1)):
            if series.shape[1]:
                for measure in (np.mean, np.var, np.median, np.min, np.max):
                    values += np.asarray(measure(series, axis=1)).size
    return values


def librosa_round(pool: ProcessPoolExecutor, files: list[str]) -> float:
    began = time.perf_counter()
    list(pool.map(librosa_one, files, chunksize=2))
    return time.perf_counter() - began


def analyze(binary: str, files: list[str]) -> tuple[float, float]:
    """Seconds of a cold run, and the sum of the seconds that items took."""
    with tempfile.TemporaryDirectory(prefix="wavemill-job-") as home:
        environment = {**os.environ, "WAVEMILL_HOME": home}
        began = time.perf_counter()
        done = subprocess.run([os.path.join(binary, "wavemill"), "analyze", "--csv", "--quiet", *files], env=environment,
                              stdout=subprocess.PIPE, check=True)
        seconds = time.perf_counter() - began
        rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
        time.sleep(1.5)  # the scheduler stays a second after its last client
    return seconds, sum(float(r["time_s"]) for r in rows if r["time_s"])


def decode(binary: str, files: list[str]) -> float:
    program = os.path.join(os.path.dirname(os.path.abspath(binary)), "tests", "bench_decode")
    return float(subprocess.run([program, str(WORKERS), *files], stdout=subprocess.PIPE, check=True).stdout.split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--bin", default="build/bin")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--librosa-rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    files = openable(arguments.data)
    if not files:
        sys.exit(f"no audio files in {arguments.data}")
    ours, busy, alone, theirs = [], [], [], []
    start_up = statistics.median(analyze(arguments.bin, files[-1:])[0] for _ in range(3))
    with ProcessPoolExecutor(WORKERS) as pool:
        if arguments.librosa_rounds:
            list(pool.map(librosa_one, files[:4] * 2))  # imports and compiled functions are not counted
        for i in range(arguments.rounds):
            seconds, items = analyze(arguments.bin, files)
            ours.append(seconds)
            busy.append(items)
            alone.append(decode(arguments.bin, files))
            if i < arguments.librosa_rounds:
                theirs.append(librosa_round(pool, files))
    overhead = [(w * WORKERS - b - start_up * WORKERS) / (w * WORKERS) for w, b in zip(ours, busy, strict=True)]
    result = {"files": len(files), "ours_s": statistics.median(ours), "decode_s": statistics.median(alone),
              "ours_to_decode": statistics.median(ours) / statistics.median(alone), "start_up_s": start_up,
              "queue_overhead": statistics.median(overhead)}
    if theirs:
        result["librosa_s"] = statistics.median(theirs)
        result["librosa_ratio"] = result["librosa_s"] / result["ours_s"]
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{result['files']} files: ours {result['ours_s']:.2f} s; decoding alone {result['decode_s']:.2f} s, "
          f"ratio {result['ours_to_decode']:.2f}; queue overhead {100 * result['queue_overhead']:.1f} %")
    if theirs:
        print(f"librosa in two processes {result['librosa_s']:.2f} s: {result['librosa_ratio']:.1f}x")


if __name__ == "__main__":
    main()
