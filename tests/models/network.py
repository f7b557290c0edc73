"""What the scripts about networks share: files of tensors, network_dump, decibels.

Signals are float32 [frames][2], stems float32 [frames][stems][2]. The instruction set is that of WAVEMILL_TEST_ISA,
which network_dump reads, else the best.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import traceback

import numpy as np

DATA = os.environ.get("WAVEMILL_TEST_DATA", "tests/data")
DUMP = os.path.join(os.path.dirname(os.environ.get("WAVEMILL_BIN", "build/bin")), "tests", "network_dump")
SMALL = os.path.join(DATA, "htdemucs_small", "model.safetensors")
RATE, SMALL_SEGMENT, SHIFT_FRAMES = 44100, 26460, 22050
with open(DUMP, "rb") as program:
    SANITIZED = b"__asan_init" in program.read()  # ten times as slow
LEAST_DB = 110  # what models/htdemucs.h and models/demucs_split.h promise


def dump(*arguments, code: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run([DUMP, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == code, f"network_dump {arguments[0]}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def dump_signal(what: str, model: str, x: np.ndarray, stems: int, *arguments) -> np.ndarray:
    """What network_dump makes of a signal. On one thread unless a test says otherwise: small layers gain nothing from
    more, and threads that wait for each other lose much where others run beside them."""
    with tempfile.TemporaryDirectory() as folder:
        a, b = os.path.join(folder, "in"), os.path.join(folder, "out")
        np.ascontiguousarray(x, np.float32).tofile(a)
        dump(what, model, a, b, *arguments)
        return np.fromfile(b, np.float32).reshape(-1, stems, 2)


def segment(x: np.ndarray, model: str = SMALL, stems: int = 4, threads: int = 1) -> np.ndarray:
    return dump_signal("segment", model, x, stems, threads)


def whole(x: np.ndarray, model: str = SMALL, stems: int = 4, threads: int = 1, overlap: float = 0.25, chunk: int = 0,
          shifts: int = 0, seed: int = 0, save_every: int = 0) -> np.ndarray:
    return dump_signal("whole", model, x, stems, threads, overlap, chunk, shifts, seed, save_every)


def snr_db(wanted: np.ndarray, y: np.ndarray) -> float:
    """Infinite for equal signals; NaN where anything is not finite or nothing is wanted."""
    assert wanted.shape == y.shape, (wanted.shape, y.shape)
    wanted, y = wanted.astype(np.float64), y.astype(np.float64)
    signal, error = (wanted**2).sum(), ((wanted - y)**2).sum()
    if not np.isfinite(error) or not signal > 0:
        return float("nan")
    return float("inf") if error == 0 else 10 * float(np.log10(signal / error))


def close(what: str, wanted: np.ndarray, y: np.ndarray, least: float = LEAST_DB) -> float:
    """Every stem and all of them together; prints the worst."""
    assert wanted.shape == y.shape, (what, wanted.shape, y.shape)
    found = [snr_db(wanted[:, s], y[:, s]) for s in range(wanted.shape[1])] + [snr_db(wanted, y)]
    print(f"     {what}: {min(found):.1f} dB", flush=True)
    assert all(db >= least for db in found), f"{what}: {found} dB, wanted {least}"
    return min(found)


def equal(what: str, a: np.ndarray, b: np.ndarray) -> None:
    assert a.tobytes() == b.tobytes(), f"{what}: other bits, {snr_db(a, b)} dB"


def some(cases: list) -> list:
    """All cases, or of a sanitizer's build the first and the last: what it looks for does not hang on numbers."""
    return [cases[0], cases[-1]] if SANITIZED else cases


def zeros_of(seed: int, shift: int) -> int:
    """How many zeros demucs_split puts before the signal: splitmix64, as its source says."""
    mask = 2**64 - 1
    z = (seed + (shift + 1) * 0x9e3779b97f4a7c15) & mask
    z = ((z ^ (z >> 30)) * 0xbf58476d1ce4e5b9) & mask
    z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & mask
    return SHIFT_FRAMES - (z ^ (z >> 31)) % (SHIFT_FRAMES + 1)


def read(path: str = SMALL) -> tuple[dict, bytes]:
    """Header and data of a file of tensors."""
    with open(path, "rb") as f:
        raw = f.read()
    length, = struct.unpack_from("<Q", raw)
    return json.loads(raw[8:8 + length]), raw[8 + length:]


def tensors_of(header: dict, data: bytes) -> dict:
    """NAME: (dtype, shape, bytes)."""
    return {name: (e["dtype"], e["shape"], data[slice(*e["data_offsets"])])
            for name, e in header.items() if name != "__metadata__"}


def write(path: str, metadata: dict, tensors: dict) -> str:
    header, at = {"__metadata__": metadata}, 0
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(raw for _, _, raw in tensors.values()))
    return path


def main(cases: list) -> None:
    passed = failed = 0
    for case in cases:
        if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
            continue
        began = time.monotonic()
        try:
            case()
            passed += 1
            print(f"pass {case.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"FAIL {case.__name__}", flush=True)
            traceback.print_exc()
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0 or passed == 0)
