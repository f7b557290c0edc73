#!/usr/bin/env python3
"""What torch takes for the same job on the same GPU, as its users would write it: torch.stft, a matrix of Slaney's mel
bands, decibels; pooling for rms and peak; a matrix of cosines; scores of all vectors and topk. Medians by events after
warm-up. What is made from spectra or bands gets them made.

    torch_peer.py SAMPLES ROUNDS CALLS

One line of JSON per row, {"row":..,"not_run":..} where a row cannot be measured (memory, say)."""
import json
import math
import statistics
import sys
import time

N_FFT, HOP, MELS, RATE, CHANNELS, WARM = 2048, 512, 128, 44100, 2, 2
MFCC, DIMENSIONS, VECTORS, QUERIES, NEAREST = 20, 128, 100000, 1000, 10
ROW_SECONDS, ROUNDS_LEAST = 2.5, 3
ROWS = ("log-mel", "stft", "rms", "peak", "mixdown", "mfcc", "statistics", "istft", "search1", "search")


def mel_hz(mel: float) -> float:
    return 200 / 3 * mel if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)


def mel_matrix(torch) -> "torch.Tensor":
    """[MELS, N_FFT/2 + 1], each band divided by half its width."""
    top = 15 + 27 / math.log(6.4) * math.log(RATE / 2 / 1000)
    edge = torch.tensor([mel_hz(top * i / (MELS + 1)) for i in range(MELS + 2)], dtype=torch.float64)[:, None]
    hz = torch.arange(N_FFT // 2 + 1, dtype=torch.float64)[None] * RATE / N_FFT
    rise, fall = (hz - edge[:-2]) / (edge[1:-1] - edge[:-2]), (edge[2:] - hz) / (edge[2:] - edge[1:-1])
    return (torch.minimum(rise, fall).clamp(min=0) * 2 / (edge[2:] - edge[:-2])).float()


def cosines(torch) -> "torch.Tensor":
    """[MFCC, MELS], orthonormal."""
    k, m = torch.arange(MFCC, dtype=torch.float64)[:, None], torch.arange(MELS, dtype=torch.float64)[None]
    matrix = torch.cos(math.pi * k * (2 * m + 1) / (2 * MELS)) * math.sqrt(2 / MELS)
    matrix[0] /= math.sqrt(2)
    return matrix.float()


def describe(torch, x) -> "torch.Tensor":
    parts = (x, x.diff(dim=-1))
    return torch.stack([f for v in parts for f in (v.mean(-1), v.var(-1, correction=0), v.median(-1).values, v.amin(-1),
                                                   v.amax(-1))])


def operations(torch, x) -> dict:
    """Row -> (what it is made from, the call)."""
    window, bands, turned = torch.hann_window(N_FFT, device="cuda"), mel_matrix(torch).cuda(), cosines(torch).cuda()
    pool, flat = torch.nn.functional, x.flatten()
    vectors = flat[: min(VECTORS, flat.numel() // DIMENSIONS) * DIMENSIONS].view(-1, DIMENSIONS)
    queries = torch.rand(QUERIES, DIMENSIONS, device="cuda") - 0.5

    def stft(_=None):
        return torch.stft(x, N_FFT, HOP, window=window, center=True, pad_mode="constant", return_complex=True)

    def logmel(_=None):
        return 10 * torch.log10(torch.clamp(bands @ stft().abs().square(), min=1e-10))

    return {
        "log-mel": (None, logmel),
        "stft": (None, stft),
        "rms": (None, lambda _: pool.avg_pool1d(x.square()[:, None], N_FFT, HOP, padding=N_FFT // 2).sqrt()),
        "peak": (None, lambda _: pool.max_pool1d(x.abs()[:, None], N_FFT, HOP, padding=N_FFT // 2)),
        "mixdown": (None, lambda _: flat.view(-1, CHANNELS).mean(1)),
        "mfcc": (logmel, lambda y: turned @ y),
        "statistics": (logmel, lambda y: describe(torch, y)),
        "istft": (stft, lambda y: torch.istft(y, N_FFT, HOP, window=window, center=True)),
        "search1": (None, lambda _: torch.topk(queries[:1] @ vectors.T, min(NEAREST, len(vectors)))),
        "search": (None, lambda _: torch.topk(queries @ vectors.T, min(NEAREST, len(vectors)))),
    }


def measure(torch, made, body, rounds: int, calls: int) -> list:
    seconds, began = [], time.monotonic()
    given = made() if made else None
    for r in range(-WARM, rounds):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(calls):
            body(given)
        end.record()
        end.synchronize()
        if r >= 0:
            seconds.append(begin.elapsed_time(end) / 1000 / calls)
        if len(seconds) >= ROUNDS_LEAST and time.monotonic() - began > ROW_SECONDS:
            break
    return seconds


def main() -> int:
    samples, rounds, calls = (int(a) for a in sys.argv[1:4])
    import torch

    if not torch.cuda.is_available():
        for row in ROWS:
            print(json.dumps({"row": row, "not_run": f"torch {torch.__version__} sees no GPU"}), flush=True)
        return 0
    torch.manual_seed(1)
    with torch.inference_mode():
        x = torch.rand(CHANNELS, samples, device="cuda") - 0.5
        for row, (made, body) in operations(torch, x).items():
            try:
                seconds = measure(torch, made, body, rounds, calls)
                print(json.dumps({"row": row, "seconds": statistics.median(seconds), "least": min(seconds),
                                  "most": max(seconds), "version": torch.__version__}), flush=True)
            except RuntimeError as e:
                print(json.dumps({"row": row, "not_run": str(e).splitlines()[0]}), flush=True)
            torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main())
