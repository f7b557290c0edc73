#!/usr/bin/env python3
"""48 to 44.1 kHz by our filter, soxr and libsamplerate: passband, stopband, signal to error, speed.

    PYTHONPATH=client/python LD_LIBRARY_PATH=build/lib bench/resamplers.py [--seconds 60] [--rounds 5] [--markdown]

passband: the highest frequency, as a part of 22.05 kHz, that comes through within 0.1 dB. stopband: the loudest that a
tone above 22.05 kHz leaves, in dB below it. S/E: of a tone at 997 Hz, everything but itself. All with float32 samples,
one thread, medians of alternating runs."""
import argparse
import ctypes
import time

import numpy as np

FROM, TO = 48000, 44100


class SrcData(ctypes.Structure):
    """SRC_DATA of libsamplerate"""

    _fields_ = [("data_in", ctypes.c_void_p), ("data_out", ctypes.c_void_p), ("input_frames", ctypes.c_long),
                ("output_frames", ctypes.c_long), ("input_frames_used", ctypes.c_long), ("output_frames_gen", ctypes.c_long),
                ("end_of_input", ctypes.c_int), ("src_ratio", ctypes.c_double)]


def libsamplerate(converter: int):
    library = ctypes.CDLL("libsamplerate.so.0")

    def run(y: np.ndarray) -> np.ndarray:
        out = np.empty(-(-len(y) * TO // FROM), np.float32)
        data = SrcData(y.ctypes.data, out.ctypes.data, len(y), len(out), 0, 0, 1, TO / FROM)
        if library.src_simple(ctypes.byref(data), converter, 1):
            raise RuntimeError("libsamplerate failed")
        return out[: data.output_frames_gen]

    return run


def methods() -> dict:
    import soxr
    import wavemill

    return {
        "polyphase": lambda y: wavemill.resample(y, orig_sr=FROM, target_sr=TO),
        "soxr HQ": lambda y: soxr.resample(y, FROM, TO, quality="HQ"),
        "soxr VHQ": lambda y: soxr.resample(y, FROM, TO, quality="VHQ"),
        "src-best": libsamplerate(0),
        "src-medium": libsamplerate(1),
        "src-fast": libsamplerate(2),
    }


def tone(hz: float, samples: int = 60000) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(samples) / FROM).astype(np.float32)


def middle(y: np.ndarray) -> np.ndarray:
    return y[10000:-10000].astype(np.float64)


def gain_db(run, hz: float) -> float:
    y = middle(run(tone(hz)))
    window = np.hanning(len(y))
    turn = np.exp(-2j * np.pi * hz * (10000 + np.arange(len(y))) / TO)
    return float(20 * np.log10(2 * abs(np.sum(y * window * turn)) / window.sum()))


def passband(run) -> float:
    low, high = 0.5, 1.0
    for _ in range(14):
        at = (low + high) / 2
        low, high = (at, high) if abs(gain_db(run, at * TO / 2)) < 0.1 else (low, at)
    return low


def stopband_db(run) -> float:
    worst = -300.0
    for hz in np.linspace(TO / 2 + 5, FROM / 2 - 50, 24):
        y = middle(run(tone(float(hz))))
        worst = max(worst, float(10 * np.log10(2 * np.mean(y * y) + 1e-30)))
    return worst


def signal_to_error_db(run) -> float:
    y = middle(run(tone(997.0)))
    t = 2 * np.pi * 997.0 * (10000 + np.arange(len(y))) / TO
    basis = np.stack([np.sin(t), np.cos(t)])
    part = np.linalg.solve(basis @ basis.T, basis @ y) @ basis
    return float(10 * np.log10(np.sum(part**2) / np.sum((y - part) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    runs = methods()
    y = np.random.default_rng(1).standard_normal(int(FROM * arguments.seconds)).astype(np.float32) * 0.1
    times: dict = {name: [] for name in runs}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run(y)
            times[name].append(time.perf_counter() - began)
    ours = sorted(times["polyphase"])[arguments.rounds // 2]
    bar = "| " if arguments.markdown else ""
    print(f"{bar}{'method':11}|{'passband':>9} |{'stopband dB':>12} |{'S/E dB':>8} |{'ms':>9} |{'to ours':>8}" + (" |" if bar else ""))
    if bar:
        print("|---|---|---|---|---|---|")
    for name, run in runs.items():
        seconds = sorted(times[name])[arguments.rounds // 2]
        print(f"{bar}{name:11}|{passband(run):9.3f} |{stopband_db(run):12.1f} |{signal_to_error_db(run):8.1f} |"
              f"{1000 * seconds:9.1f} |{seconds / ours:7.1f}x" + (" |" if bar else ""))


if __name__ == "__main__":
    main()
