"""libwavemill.so and its structs, by ctypes: no compiler at installation, a few microseconds per call."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import threading

import numpy as np

WINDOWS = {"hann": 0, "hamming": 1, "blackman": 2, "bartlett": 3, "rectangular": 4, "boxcar": 4, "ones": 4}
PADS = {"constant": 0, "zero": 0, "reflect": 1}


class Spectrum(ctypes.Structure):
    """struct wavemill_spectrum"""

    _fields_ = [("n_fft", ctypes.c_int64), ("hop_length", ctypes.c_int64), ("win_length", ctypes.c_int64),
                ("window", ctypes.c_int32), ("pad_mode", ctypes.c_int32), ("center", ctypes.c_int32),
                ("reserved", ctypes.c_int32)]


class Mel(ctypes.Structure):
    """struct wavemill_mel"""

    _fields_ = [("spectrum", Spectrum), ("sr", ctypes.c_double), ("fmin", ctypes.c_double), ("fmax", ctypes.c_double),
                ("power", ctypes.c_double), ("top_db", ctypes.c_double), ("n_mels", ctypes.c_int32),
                ("htk", ctypes.c_int32), ("slaney", ctypes.c_int32), ("decibels", ctypes.c_int32)]


class WavemillError(RuntimeError):
    """The library refused or failed; the message says why."""


def _load() -> ctypes.CDLL:
    names = [os.environ.get("WAVEMILL_LIBRARY"), "libwavemill.so.0", "libwavemill.so", ctypes.util.find_library("wavemill")]
    problem = ""
    for name in names:
        if not name:
            continue
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            problem = problem or str(error)
    raise ImportError(f"libwavemill.so is not found ({problem}); set LD_LIBRARY_PATH to its folder or WAVEMILL_LIBRARY to it")


library = _load()
_i64, _ptr, _double, _int = ctypes.c_int64, ctypes.c_void_p, ctypes.c_double, ctypes.c_int
for _name, _result, _arguments in (
    ("wavemill_open", _int, [_int, ctypes.c_char_p, ctypes.POINTER(_ptr)]),
    ("wavemill_close", None, [ctypes.POINTER(_ptr)]),
    ("wavemill_isa", ctypes.c_char_p, [_ptr]),
    ("wavemill_frames", _i64, [_ptr, _i64]),
    ("wavemill_stft", _int, [_ptr, _ptr, _ptr, _i64, _i64, _ptr]),
    ("wavemill_istft", _int, [_ptr, _ptr, _ptr, _i64, _i64, _i64, _ptr]),
    ("wavemill_istft_samples", _i64, [_ptr, _i64]),
    ("wavemill_mel", _int, [_ptr, _ptr, _ptr, _i64, _i64, _ptr]),
    ("wavemill_mfcc", _int, [_ptr, _ptr, ctypes.c_int32, _double, _ptr, _i64, _i64, _ptr]),
    ("wavemill_resample", _int, [_ptr, _i64, _i64, _ptr, _i64, _i64, _ptr]),
    ("wavemill_resample_samples", _i64, [_i64, _i64, _i64]),
    ("status_message", ctypes.c_char_p, []),
    ("status_class", _int, [_int]),
):
    _function = getattr(library, _name)
    _function.restype = _result
    _function.argtypes = _arguments

ARGUMENT, SHAPE = -1, -2  # codes of status.h that are the caller's mistake


def check(code: int) -> None:
    """Raises for every code but 0."""
    if code == 0:
        return
    message = library.status_message().decode("utf-8", "replace")
    if code in (ARGUMENT, SHAPE):
        raise ValueError(message)
    raise MemoryError(message) if "memory" in message else WavemillError(message)


class Engine(threading.local):
    """One engine for each calling thread: plans and scratch stay between calls."""

    def __init__(self) -> None:
        self.handle = _ptr()
        self.threads = 1
        self.isa: str | None = None

    def get(self) -> ctypes.c_void_p:
        """The engine's handle, made when it is first needed."""
        if not self.handle:
            check(library.wavemill_open(self.threads, self.isa.encode() if self.isa else None, ctypes.byref(self.handle)))
        return self.handle

    def reset(self) -> None:
        """The next call makes a new engine."""
        if self.handle:
            library.wavemill_close(ctypes.byref(self.handle))
            self.handle = _ptr()

    def __del__(self) -> None:
        self.reset()


engine = Engine()


def address(array: np.ndarray) -> int:
    """Where the first element lies."""
    return array.__array_interface__["data"][0]
