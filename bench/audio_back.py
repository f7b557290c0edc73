#!/usr/bin/env python3
"""Audio from mel bands beside librosa: Griffin-Lim and the least squares before it, in turns, one thread each.

    WAVEMILL_BIN=build/bin .deps/peers/bin/python bench/audio_back.py"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "tests", "models"))
from test_audio_back import HOP, ITERATIONS, MELS, N_FFT, RECORDINGS, griffin_lim, recording, timed  # noqa: E402

import librosa  # noqa: E402  (after the number of threads is set)
import numpy as np  # noqa: E402


def main() -> None:
    y, rate = recording(RECORDINGS[0], 10)
    magnitude = np.abs(librosa.stft(y, n_fft=N_FFT, hop_length=HOP))
    bands = librosa.filters.mel(sr=rate, n_fft=N_FFT, n_mels=MELS) @ magnitude**2
    librosa.griffinlim(magnitude[:, :20], n_iter=2, hop_length=HOP)
    pairs: dict = {"griffin_lim, 32 iterations": [], "mel_inverse, 32 steps": []}
    for _ in range(3):
        _, ours = griffin_lim(magnitude, len(y), ITERATIONS, 0.99, 1)
        began = time.perf_counter()
        librosa.griffinlim(magnitude, n_iter=ITERATIONS, hop_length=HOP, length=len(y))
        pairs["griffin_lim, 32 iterations"].append((ours, time.perf_counter() - began))
    for _ in range(3):
        few = bands[:, :80]
        _, ours = timed(few.T, "mel", rate, N_FFT, MELS, 2, 0, 32, few.shape[1])
        began = time.perf_counter()
        librosa.feature.inverse.mel_to_stft(few, sr=rate, n_fft=N_FFT)
        pairs["mel_inverse, 32 steps"].append((ours, time.perf_counter() - began))
    for what, seconds in pairs.items():
        ours, theirs = np.median(seconds, axis=0)
        print(f"{what}: {ours * 1e3:.1f} ms, librosa {theirs * 1e3:.1f} ms: {theirs / ours:.1f}x")


if __name__ == "__main__":
    main()
