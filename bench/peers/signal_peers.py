#!/usr/bin/env python3
"""Peers of the signal operations, run side by side with ours by wavemill-bench.

Reads requests from standard input, one per line: `PEER CASE RATE FILE`, FILE holding the samples as raw float32. Answers
with the seconds that the operation took, or `- REASON`. The first call of each operation warms it up and is not counted:
imports, plans and compiled functions are nobody's speed. WAVEMILL_BENCH_THREADS says how many threads peers may use."""
import os
import sys
import time

THREADS = os.environ.get("WAVEMILL_BENCH_THREADS", "1")
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, THREADS)

import numpy as np  # noqa: E402  (after the number of threads is set)

N_FFT, HOP, MELS, MFCC = 2048, 512, 128, 20


def librosa_cases() -> dict:
    import librosa

    feature = librosa.feature
    return {
        "stft": lambda y, sr: librosa.stft(y),
        "istft": lambda y, sr: librosa.istft(y),
        "logmel": lambda y, sr: librosa.power_to_db(feature.melspectrogram(y=y, sr=sr)),
        "mfcc": lambda y, sr: feature.mfcc(y=y, sr=sr),
        "centroid": lambda y, sr: feature.spectral_centroid(y=y, sr=sr),
        "contrast": lambda y, sr: feature.spectral_contrast(y=y, sr=sr),
        "rms": lambda y, sr: feature.rms(y=y),
        "zcr": lambda y, sr: feature.zero_crossing_rate(y),
        "hpss": lambda y, sr: librosa.decompose.hpss(y),
    }


def torch_cases() -> dict:
    import librosa
    import torch

    torch.set_num_threads(int(THREADS))
    window = torch.hann_window(N_FFT)
    banks: dict = {}

    def stft(y, sr):
        return torch.stft(torch.from_numpy(y), N_FFT, HOP, window=window, pad_mode="constant", return_complex=True)

    def logmel(y, sr):
        if sr not in banks:
            banks[sr] = torch.from_numpy(librosa.filters.mel(sr=sr, n_fft=N_FFT, n_mels=MELS))
        power = stft(y, sr).abs().square()
        return 10 * torch.log10(torch.clamp(banks[sr] @ power, min=1e-10))

    def istft(y, sr):
        return torch.istft(torch.from_numpy(y), N_FFT, HOP, window=window)

    return {"stft": stft, "logmel": logmel, "istft": istft}


def soxr_cases() -> dict:
    import soxr

    return {"resample": lambda y, sr: soxr.resample(y, sr, 44100, quality="HQ")}


def numpy_cases() -> dict:
    def nearest(y, queries):
        rows = min(y.size // 128, 100000)
        x = y[: rows * 128].reshape(rows, 128)
        count = min(queries, rows - 1)
        q = y[64 : 64 + count * 128].reshape(count, 128)
        found = []
        for first in range(0, count, 100):  # all scores at once would be 400 MB
            score = q[first : first + 100] @ x.T
            k = min(10, rows)
            best = np.argpartition(score, rows - k, axis=1)[:, rows - k :]
            order = np.argsort(-np.take_along_axis(score, best, 1), axis=1)
            found.append(np.take_along_axis(best, order, 1))
        return found

    return {"search": lambda y, sr: nearest(y, 1000), "search1": lambda y, sr: nearest(y, 1)}


MAKERS = {"numpy": numpy_cases, "librosa": librosa_cases, "torch": torch_cases, "soxr": soxr_cases}


def prepared(case: str, y: np.ndarray) -> np.ndarray:
    """What the operation starts from: spectra for those that come after a transform."""
    if case not in ("istft", "hpss"):
        return y
    import librosa

    return librosa.stft(y)


def main() -> None:
    cases: dict = {}
    inputs: dict = {}
    for line in sys.stdin:
        peer, case, rate, path = line.split(maxsplit=3)
        path = path.strip()
        try:
            if peer not in cases:
                cases[peer] = MAKERS[peer]()
            run = cases[peer][case]
            key = (case in ("istft", "hpss"), path)
            fresh = (peer, case, path) not in inputs
            if key not in inputs:
                inputs[key] = prepared(case, np.fromfile(path, np.float32))
            if fresh:
                inputs[peer, case, path] = True
                warm = inputs[key]
                run(warm[:, :200] if warm.ndim == 2 else warm[: 10 * N_FFT], int(rate))
            began = time.perf_counter()
            run(inputs[key], int(rate))
            print(f"{time.perf_counter() - began:.6f}", flush=True)
        except (ImportError, KeyError) as error:
            print(f"- {type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    main()
