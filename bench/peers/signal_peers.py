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
        "magnitude": lambda y, sr: np.abs(librosa.stft(y)),
        "power": lambda y, sr: np.abs(librosa.stft(y)) ** 2,
        "db": lambda y, sr: librosa.amplitude_to_db(np.abs(librosa.stft(y)), top_db=None),
        "bandwidth": lambda y, sr: feature.spectral_bandwidth(y=y, sr=sr),
        "rolloff": lambda y, sr: feature.spectral_rolloff(y=y, sr=sr),
        "flatness": lambda y, sr: feature.spectral_flatness(y=y),
        "contrast": lambda y, sr: feature.spectral_contrast(y=y, sr=sr),
        "flux": lambda y, sr: np.linalg.norm(np.diff(np.abs(librosa.stft(y)), axis=1), axis=0),
        "poly": lambda y, sr: feature.poly_features(y=y, sr=sr),
        "peak": lambda y, sr: np.abs(
            librosa.util.frame(np.pad(y, N_FFT // 2), frame_length=N_FFT, hop_length=HOP)).max(axis=0),
        "mixdown": lambda y, sr: librosa.to_mono(y[: y.size // 2 * 2].reshape(-1, 2).T),
        "rms": lambda y, sr: feature.rms(y=y),
        "zcr": lambda y, sr: feature.zero_crossing_rate(y),
        "hpss": lambda y, sr: librosa.decompose.hpss(y),
        "stretch": lambda y, sr: librosa.phase_vocoder(y, rate=1.25, hop_length=HOP, n_fft=N_FFT),
    }


def torch_cases() -> dict:
    import torch

    torch.set_num_threads(int(THREADS))
    window = torch.hann_window(N_FFT)
    banks: dict = {}

    def stft(y, sr):
        return torch.stft(torch.from_numpy(y), N_FFT, HOP, window=window, pad_mode="constant", return_complex=True)

    def logmel(y, sr):
        if sr not in banks:
            import librosa

            banks[sr] = torch.from_numpy(librosa.filters.mel(sr=sr, n_fft=N_FFT, n_mels=MELS))
        power = stft(y, sr).abs().square()
        return 10 * torch.log10(torch.clamp(banks[sr] @ power, min=1e-10))

    def istft(y, sr):
        return torch.istft(torch.from_numpy(y), N_FFT, HOP, window=window)

    return {"stft": stft, "logmel": logmel, "istft": istft, **network_cases()}


def network_cases() -> dict:
    """Rows of networks in torch, as a separation network calls them, on as many frames as ours has."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(int(THREADS))
    made: dict = {}

    def given(y, name, *sizes):
        """Noise for so many frames, made once; a size below zero is of each frame."""
        frames = min((y.size + 1023) // 1024, 336)
        key = name, frames
        if key not in made:
            made[key] = torch.rand([-s * frames if s < 0 else s for s in sizes]) - 0.5
        return made[key]

    def kept(name, make):
        if name not in made:
            made[name] = make().eval()
        return made[name]

    def maps(y, name, channels, bins):  # [1, channels, bins, frames], as torch's users have it
        return given(y, name, 1, channels, bins, -1)

    def tokens(y, name, width):
        return given(y, name, 1, -8, width)

    def without_gradients(run):
        def call(y, sr):
            with torch.inference_mode():
                return run(y)
        return call

    def dconv(y):  # each bin's frames are a signal
        layers = kept("dconv", lambda: nn.Sequential(
            nn.Conv1d(48, 6, 3, padding=1), nn.GroupNorm(1, 6), nn.GELU(), nn.Conv1d(6, 96, 1), nn.GroupNorm(1, 96),
            nn.GLU(1)))
        x = maps(y, "dconv x", 48, 512)
        flat = x.permute(0, 2, 1, 3).reshape(512, 48, -1)
        return x + (1e-3 * layers(flat)).view(1, 512, 48, -1).permute(0, 2, 1, 3)

    def attention(y):
        qkv = tokens(y, "qkv", 3 * 512)
        q, k, v = (part.view(1, -1, 8, 64).transpose(1, 2) for part in qkv.split(512, dim=2))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, -1, 512)

    def spectra(y):
        return torch.view_as_complex(given(y, "spectra", 1, 2, 2049, -1, 2))

    def to_maps(y):
        z = spectra(y)[:, :, :-1]
        return torch.view_as_real(z).permute(0, 1, 4, 2, 3).reshape(1, 4, 2048, -1)

    def from_maps(y):
        x = maps(y, "maps", 4, 2048)
        z = torch.view_as_complex(x.view(1, 2, 2, 2048, -1).permute(0, 1, 3, 4, 2).contiguous())
        return F.pad(z, (0, 0, 0, 1))

    def moments(y):
        x = maps(y, "moments", 4, 2048)
        return x.mean(dim=(1, 2, 3)), x.std(dim=(1, 2, 3))

    def margins(y):
        x = given(y, "margins", 1, -1, 519, 48)
        x[:, :, :2].zero_()
        x[:, :, 514:].zero_()
        return x

    def mirror(y):
        x = given(y, "stereo", 1, -1024, 2)
        behind = x.shape[1] // 128 * 4 - 1536
        return F.pad(x.transpose(1, 2), (1536, max(behind, 0)), mode="reflect")

    def eight(y):
        return given(y, "eight", 1, -1024, 8)

    def trained():
        return kept("trained", lambda: nn.Conv2d(32, 64, 4, 2, 1)).weight

    def halved(y):  # what conv2d makes of its x
        frames = maps(y, "wide", 32, 512).shape[3]
        key = "halved", frames
        if key not in made:
            made[key] = torch.rand(1, 64, 256, frames // 2) - 0.5
        return made[key]

    runs = {
        "conv": lambda y: F.gelu(kept("conv", lambda: nn.Conv2d(48, 96, (8, 1), (4, 1), (2, 0)))(
            maps(y, "conv x", 48, 512))),
        "conv3x3": lambda y: F.glu(kept("conv3x3", lambda: nn.Conv2d(48, 96, 3, 1, 1))(
            maps(y, "conv x", 48, 512)), dim=1),
        "linear": lambda y: F.gelu(kept("linear", lambda: nn.Linear(512, 2048))(tokens(y, "tokens", 512))),
        "conv_transp": lambda y: F.gelu(kept("conv_transp", lambda: nn.ConvTranspose2d(96, 48, (8, 1), (4, 1)))(
            maps(y, "inner", 96, 128))[:, :, 2:-2]),
        "layer_norm": lambda y: kept("layer_norm", lambda: nn.LayerNorm(512))(tokens(y, "tokens", 512)),
        "group_norm": lambda y: kept("group_norm", lambda: nn.GroupNorm(1, 512))(
            tokens(y, "tokens", 512).transpose(1, 2)).transpose(1, 2),
        "dconv": dconv, "attention": attention, "moments": moments, "to_maps": to_maps, "from_maps": from_maps,
        "margins": margins, "mirror": mirror,
        "standardize": lambda y: (maps(y, "moments", 4, 2048) - 0.1) * (1 / (0.5 + 1e-5)),
        "unstandard": lambda y: eight(y) * 0.5 + 0.1,
        "add_maps": lambda y: maps(y, "conv x", 48, 512).add_(maps(y, "skip", 48, 512)),
        "conv2d": lambda y: F.conv2d(maps(y, "wide", 32, 512), trained(), None, 2, 1),
        "conv2d_data": lambda y: F.conv_transpose2d(halved(y), trained(), None, 2, 1),
        "conv2d_wgt": lambda y: torch.nn.grad.conv2d_weight(maps(y, "wide", 32, 512), (64, 32, 4, 4), halved(y), 2, 1),
        "add_planar": lambda y: eight(y).add_(given(y, "planar", 1, 8, -1024).transpose(1, 2)),
    }
    return {name: without_gradients(run) for name, run in runs.items()}


def soxr_cases() -> dict:
    import soxr

    return {"resample": lambda y, sr: soxr.resample(y, sr, 44100, quality="HQ")}


def numpy_cases() -> dict:
    def nearest(y, queries):  # which lie behind the vectors
        whole = y.size // 128
        count = min(queries, whole // 2)
        rows = min(whole - count, 100000)
        x = y[: rows * 128].reshape(rows, 128)
        q = y[rows * 128 : (rows + count) * 128].reshape(count, 128)
        found = []
        for first in range(0, count, 100):  # all scores at once would be 400 MB
            score = q[first : first + 100] @ x.T
            k = min(10, rows)
            best = np.argpartition(score, rows - k, axis=1)[:, rows - k :]
            order = np.argsort(-np.take_along_axis(score, best, 1), axis=1)
            found.append(np.take_along_axis(best, order, 1))
        return found

    def waveform(y, sr):
        blocks = y[: y.size // 256 * 256].reshape(-1, 256)
        return blocks.min(axis=1), blocks.max(axis=1), np.sqrt(np.mean(np.square(blocks), axis=1))

    def level(y, sr):
        return y.sum(dtype=np.float64), np.square(y, dtype=np.float64).sum(), np.abs(y).max(), np.isfinite(y).all()

    def statistics(bands, sr):
        return [(v.mean(axis=1), v.var(axis=1), np.median(v, axis=1), v.min(axis=1), v.max(axis=1))
                for v in (bands, np.diff(bands, axis=1))]

    def phases(x, sr):  # as librosa.griffinlim steps; magnitudes are made of another third here, and not counted
        n = x.shape[1] // 3
        now, before, magnitude = x[:, :n], x[:, n : 2 * n], x.real[:, 2 * n : 3 * n]
        y = now.copy()
        y -= np.float32(0.5) * before
        y /= np.abs(y) + np.finfo(np.float32).tiny
        y *= magnitude
        return y

    return {"search": lambda y, sr: nearest(y, 1000), "phases": phases, "search1": lambda y, sr: nearest(y, 1), "waveform": waveform,
            "level": level, "statistics": statistics, "decibel_peak": lambda bands, sr: bands.max(),
            "decibel_clip": lambda bands, sr: np.maximum(bands, 0, out=bands)}


MAKERS = {"numpy": numpy_cases, "librosa": librosa_cases, "torch": torch_cases, "soxr": soxr_cases}


SPECTRA, BANDS = ("istft", "hpss", "stretch", "phases"), ("decibel_peak", "decibel_clip", "statistics")
NETWORK = ("conv", "conv3x3", "linear", "conv_transp", "dconv", "layer_norm", "group_norm", "moments", "attention",
           "to_maps", "from_maps", "margins", "mirror", "standardize", "unstandard", "add_maps",
           "add_planar", "conv2d", "conv2d_data", "conv2d_wgt")  # on noise, as much as the signal's length asks for


def source(case: str) -> str:
    return "spectra" if case in SPECTRA else "bands" if case in BANDS else "samples"


def prepared(case: str, y: np.ndarray, rate: int) -> np.ndarray:
    """What the operation starts from: spectra or bands for those that come after a transform."""
    if source(case) == "samples":
        return y
    import librosa

    if source(case) == "spectra":
        return librosa.stft(y)
    return librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=rate), top_db=None)


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
            key = (source(case), path)
            fresh = (peer, case, path) not in inputs
            if key not in inputs:
                inputs[key] = prepared(case, np.fromfile(path, np.float32), int(rate))
            if fresh:
                inputs[peer, case, path] = True
                warm = inputs[key]
                few = warm if case in NETWORK else warm[:, :200] if warm.ndim == 2 else warm[: 10 * N_FFT]
                run(few, int(rate))
            began = time.perf_counter()
            run(inputs[key], int(rate))
            print(f"{time.perf_counter() - began:.6f}", flush=True)
        except (ImportError, KeyError) as error:
            print(f"- {type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    main()
