"""Wavemill: librosa's features at the speed of the machine.

    >>> import numpy as np
    >>> import wavemill
    >>> y = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050).astype(np.float32)
    >>> spectra = wavemill.stft(y)
    >>> spectra.shape, spectra.dtype, spectra.flags.f_contiguous
    ((1025, 44), dtype('complex64'), True)
    >>> float(np.abs(wavemill.istft(spectra, length=len(y)) - y).max()) < 1e-5
    True

Signals are float32 arrays, [samples] or [.., samples]; results [.., bins, frames]. What would need a copy (another type,
strides) is refused with the argument's name."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from ._client import Client, NoScheduler, Refused
from ._library import PADS, WINDOWS, Mel, Spectrum, WavemillError, address, check, engine, library
from ._queue import features

__all__ = ["Client", "NoScheduler", "Refused", "WavemillError", "features", "get_isa", "istft", "logmel", "mel", "mfcc", "resample", "set_isa", "set_threads", "stft"]
__version__ = "0.1.0"


def set_threads(threads: int) -> None:
    """How many threads the calling thread's operations use (default 1)."""
    if not 1 <= int(threads) <= 1024:
        raise ValueError(f"threads: {threads}, allowed 1 to 1024")
    engine.reset()
    engine.threads = int(threads)


def set_isa(isa: str | None) -> None:
    """The instruction set of the calling thread's operations: 'scalar', 'avx2', 'avx512', or None for the widest."""
    if isa not in (None, "scalar", "avx2", "avx512"):
        raise ValueError(f"isa: {isa!r}, allowed 'scalar', 'avx2', 'avx512' and None")
    engine.reset()
    engine.isa = isa


def get_isa() -> str:
    """The instruction set in use.

    >>> wavemill.get_isa() in ("scalar", "avx2", "avx512")
    True
    """
    return library.wavemill_isa(engine.get()).decode()


class _Plan:
    """A struct of the library, its address, and what is asked of it at every call."""

    __slots__ = ("address", "hop", "pad", "struct", "values", "window")

    def __init__(self, struct: Spectrum | Mel, n_fft: int, hop: int, center: bool, values: int) -> None:
        self.struct, self.address, self.values = struct, ctypes.addressof(struct), values
        self.window, self.hop, self.pad = n_fft, hop, n_fft // 2 if center else 0

    def frames(self, n: int) -> int:
        """As wavemill_frames."""
        room = n + 2 * self.pad - self.window
        return room // self.hop + 1 if n and room >= 0 else 0


@functools.lru_cache(maxsize=64)
def _spectrum(n_fft: int, hop_length: int, win_length: int | None, window: str, center: bool, pad_mode: str) -> _Plan:
    if window not in WINDOWS:
        raise ValueError(f"window: {window!r}, allowed {', '.join(WINDOWS)}")
    if pad_mode not in PADS:
        raise ValueError(f"pad_mode: {pad_mode!r}, allowed {', '.join(PADS)}")
    for name, value, least in (("n_fft", n_fft, 16), ("hop_length", hop_length, 1), ("win_length", win_length, 1)):
        if value is not None and not least <= value <= 1 << 40:
            raise ValueError(f"{name}: {value}, allowed from {least} on")
    struct = Spectrum(n_fft, hop_length, win_length or 0, WINDOWS[window], PADS[pad_mode], bool(center), 0)
    return _Plan(struct, n_fft, hop_length, center, n_fft // 2 + 1)


@functools.lru_cache(maxsize=64)
def _bands(sr: float, n_fft: int, hop_length: int, win_length: int | None, window: str, center: bool, pad_mode: str,
           power: float, n_mels: int, fmin: float, fmax: float | None, htk: bool, norm: str | None, decibels: bool,
           top_db: float | None) -> _Plan:
    if norm not in ("slaney", None):
        raise ValueError(f"norm: {norm!r}, allowed 'slaney' and None")
    if not 1 <= n_mels <= 4096:
        raise ValueError(f"n_mels: {n_mels}, allowed 1 to 4096")
    spectrum = _spectrum(n_fft, hop_length, win_length, window, center, pad_mode)
    struct = Mel(spectrum.struct, sr, fmin, fmax or 0.0, power, -1.0 if top_db is None else top_db, n_mels, bool(htk),
                 norm == "slaney", decibels)
    return _Plan(struct, n_fft, hop_length, center, n_mels)


def _signal(y: Any, name: str = "y") -> np.ndarray:
    if not isinstance(y, np.ndarray):
        raise TypeError(f"{name}: {type(y).__name__}, wanted a numpy array")
    if y.dtype != np.float32:
        raise TypeError(f"{name}: dtype {y.dtype}, wanted float32 (.astype(numpy.float32) copies it)")
    if y.ndim < 1:
        raise ValueError(f"{name}: no dimension, wanted [.., samples]")
    if not y.flags.c_contiguous:
        raise ValueError(f"{name}: strided, wanted contiguous (numpy.ascontiguousarray copies it)")
    return y


def _result(out: np.ndarray | None, shape: tuple, dtype: type) -> np.ndarray:
    """Memory for [.., frames, values], as it is computed; `out` is the caller's [.., values, frames]."""
    if out is None:
        return np.empty(shape, dtype)
    wanted = (*shape[:-2], shape[-1], shape[-2])
    if not isinstance(out, np.ndarray) or out.dtype != dtype:
        raise TypeError(f"out: {getattr(out, 'dtype', type(out).__name__)}, wanted {np.dtype(dtype)}")
    if out.shape != wanted:
        raise ValueError(f"out: shape {out.shape}, wanted {wanted}")
    memory = out.swapaxes(-1, -2)
    if not memory.flags.c_contiguous:
        raise ValueError("out: strided, wanted frame after frame (Fortran order of the last two axes)")
    if not out.flags.writeable:
        raise ValueError("out: read-only")
    return memory


def _rows(y: np.ndarray) -> int:
    return 1 if y.ndim == 1 else int(np.prod(y.shape[:-1], dtype=np.int64))


def stft(y: np.ndarray, *, n_fft: int = 2048, hop_length: int | None = None, win_length: int | None = None,
         window: str = "hann", center: bool = True, pad_mode: str = "constant", out: np.ndarray | None = None) -> np.ndarray:
    """Short-time Fourier transform, complex64 [.., n_fft/2 + 1, frames], as librosa.stft.

    hop_length defaults to a quarter of win_length. Raises TypeError and ValueError naming the argument.

    >>> wavemill.stft(np.zeros((2, 4096), np.float32), n_fft=512).shape
    (2, 257, 33)
    """
    _signal(y)
    spectrum = _spectrum(n_fft, hop_length if hop_length is not None else max((win_length or n_fft) // 4, 1), win_length,
                         window, center, pad_mode)
    n = y.shape[-1]
    memory = _result(out, (*y.shape[:-1], spectrum.frames(n), n_fft // 2 + 1), np.complex64)
    check(library.wavemill_stft(engine.get(), spectrum.address, address(y), _rows(y), n, address(memory)))
    return memory.swapaxes(-1, -2)


def istft(stft_matrix: np.ndarray, *, hop_length: int | None = None, win_length: int | None = None,
          n_fft: int | None = None, window: str = "hann", center: bool = True, length: int | None = None,
          out: np.ndarray | None = None) -> np.ndarray:
    """The signal of a short-time Fourier transform, float32 [.., samples], as librosa.istft.

    stft_matrix must lie frame after frame, as stft gives it (Fortran order of the last two axes)."""
    if not isinstance(stft_matrix, np.ndarray) or stft_matrix.dtype != np.complex64:
        raise TypeError(f"stft_matrix: {getattr(stft_matrix, 'dtype', type(stft_matrix).__name__)}, wanted complex64")
    if stft_matrix.ndim < 2:
        raise ValueError("stft_matrix: one dimension, wanted [.., bins, frames]")
    memory = stft_matrix.swapaxes(-1, -2)
    if not memory.flags.c_contiguous:
        raise ValueError("stft_matrix: strided, wanted frame after frame (numpy.asfortranarray copies it)")
    size = n_fft if n_fft is not None else 2 * (memory.shape[-1] - 1)
    if size // 2 + 1 != memory.shape[-1]:
        raise ValueError(f"n_fft: {size} gives {size // 2 + 1} bins, stft_matrix has {memory.shape[-1]}")
    spectrum = _spectrum(size, hop_length if hop_length is not None else max((win_length or size) // 4, 1), win_length, window,
                         center, "constant")
    frames = memory.shape[-2]
    n = length if length is not None else library.wavemill_istft_samples(spectrum.address, frames)
    if n < 0:
        raise ValueError(f"length: {n}")
    rows = int(np.prod(memory.shape[:-2], dtype=np.int64))
    shape = (*memory.shape[:-2], n)
    y = np.empty(shape, np.float32) if out is None else _flat(out, shape)
    check(library.wavemill_istft(engine.get(), spectrum.address, address(memory), rows, frames, n, address(y)))
    return y


def _flat(out: np.ndarray, shape: tuple) -> np.ndarray:
    """`out` of signals: [.., samples], in C order."""
    if not isinstance(out, np.ndarray) or out.dtype != np.float32:
        raise TypeError(f"out: {getattr(out, 'dtype', type(out).__name__)}, wanted float32")
    if out.shape != shape:
        raise ValueError(f"out: shape {out.shape}, wanted {shape}")
    if not out.flags.c_contiguous:
        raise ValueError("out: strided, wanted contiguous")
    if not out.flags.writeable:
        raise ValueError("out: read-only")
    return out


def _mel(y: np.ndarray, bands: _Plan, out: np.ndarray | None) -> np.ndarray:
    n = y.shape[-1]
    memory = _result(out, (*y.shape[:-1], bands.frames(n), bands.values), np.float32)
    check(library.wavemill_mel(engine.get(), bands.address, address(y), _rows(y), n, address(memory)))
    return memory.swapaxes(-1, -2)


def mel(y: np.ndarray, sr: float = 22050, *, n_fft: int = 2048, hop_length: int = 512, win_length: int | None = None,
        window: str = "hann", center: bool = True, pad_mode: str = "constant", power: float = 2.0, n_mels: int = 128,
        fmin: float = 0.0, fmax: float | None = None, htk: bool = False, norm: str | None = "slaney",
        out: np.ndarray | None = None) -> np.ndarray:
    """Mel spectrogram, float32 [.., n_mels, frames], as librosa.feature.melspectrogram.

    >>> wavemill.mel(np.zeros(22050, np.float32), n_mels=40).shape
    (40, 44)
    """
    bands = _bands(sr, n_fft, hop_length, win_length, window, center, pad_mode, power, n_mels, fmin, fmax, htk, norm, False, None)
    return _mel(_signal(y), bands, out)


def logmel(y: np.ndarray, sr: float = 22050, *, n_fft: int = 2048, hop_length: int = 512, win_length: int | None = None,
           window: str = "hann", center: bool = True, pad_mode: str = "constant", power: float = 2.0, n_mels: int = 128,
           fmin: float = 0.0, fmax: float | None = None, htk: bool = False, norm: str | None = "slaney",
           top_db: float | None = 80.0, out: np.ndarray | None = None) -> np.ndarray:
    """librosa.power_to_db of mel, float32 [.., n_mels, frames]; each signal is clipped top_db below its own maximum."""
    bands = _bands(sr, n_fft, hop_length, win_length, window, center, pad_mode, power, n_mels, fmin, fmax, htk, norm, True, top_db)
    return _mel(_signal(y), bands, out)


def mfcc(y: np.ndarray, sr: float = 22050, *, n_mfcc: int = 20, lifter: float = 0.0, n_fft: int = 2048, hop_length: int = 512,
         win_length: int | None = None, window: str = "hann", center: bool = True, pad_mode: str = "constant",
         power: float = 2.0, n_mels: int = 128, fmin: float = 0.0, fmax: float | None = None, htk: bool = False,
         norm: str | None = "slaney", top_db: float | None = 80.0, out: np.ndarray | None = None) -> np.ndarray:
    """Cepstral coefficients, float32 [.., n_mfcc, frames], as librosa.feature.mfcc.

    >>> wavemill.mfcc(np.zeros(22050, np.float32), n_mfcc=13).shape
    (13, 44)
    """
    _signal(y)
    bands = _bands(sr, n_fft, hop_length, win_length, window, center, pad_mode, power, n_mels, fmin, fmax, htk, norm, True, top_db)
    if not 1 <= n_mfcc <= n_mels:
        raise ValueError(f"n_mfcc: {n_mfcc}, allowed 1 to n_mels {n_mels}")
    n = y.shape[-1]
    memory = _result(out, (*y.shape[:-1], bands.frames(n), n_mfcc), np.float32)
    check(library.wavemill_mfcc(engine.get(), bands.address, n_mfcc, lifter, address(y), _rows(y), n, address(memory)))
    return memory.swapaxes(-1, -2)


def resample(y: np.ndarray, *, orig_sr: int, target_sr: int, out: np.ndarray | None = None) -> np.ndarray:
    """Another sample rate, float32 [.., ceil(samples * target_sr / orig_sr)].

    >>> wavemill.resample(np.zeros(48000, np.float32), orig_sr=48000, target_sr=44100).shape
    (44100,)
    """
    _signal(y)
    for name, rate in (("orig_sr", orig_sr), ("target_sr", target_sr)):
        if rate != int(rate) or not 1 <= rate <= 1 << 30:
            raise ValueError(f"{name}: {rate}, allowed whole rates from 1 to 2^30")
    n = y.shape[-1]
    samples = library.wavemill_resample_samples(int(orig_sr), int(target_sr), n)
    shape = (*y.shape[:-1], samples)
    result = np.empty(shape, np.float32) if out is None else _flat(out, shape)
    check(library.wavemill_resample(engine.get(), int(orig_sr), int(target_sr), address(y), _rows(y), n, address(result)))
    return result
