#!/usr/bin/env python3
"""What torch takes for the same job on the same GPU, as its users would write it: torch.stft, a matrix of Slaney's mel
bands, decibels; pooling for rms and peak. Medians by events after warm-up.

    torch_peer.py SAMPLES ROUNDS CALLS

One line of JSON per row, {"row":..,"not_run":..} where a row cannot be measured (memory, say)."""
import json
import math
import statistics
import sys

N_FFT, HOP, MELS, RATE, CHANNELS, WARM = 2048, 512, 128, 44100, 2, 2
ROWS = ("log-mel", "stft", "rms", "peak")


def mel_hz(mel: float) -> float:
    return 200 / 3 * mel if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)


def mel_matrix(torch) -> "torch.Tensor":
    """[MELS, N_FFT/2 + 1], each band divided by half its width."""
    top = 15 + 27 / math.log(6.4) * math.log(RATE / 2 / 1000)
    edge = torch.tensor([mel_hz(top * i / (MELS + 1)) for i in range(MELS + 2)], dtype=torch.float64)[:, None]
    hz = torch.arange(N_FFT // 2 + 1, dtype=torch.float64)[None] * RATE / N_FFT
    rise, fall = (hz - edge[:-2]) / (edge[1:-1] - edge[:-2]), (edge[2:] - hz) / (edge[2:] - edge[1:-1])
    return (torch.minimum(rise, fall).clamp(min=0) * 2 / (edge[2:] - edge[:-2])).float()


def operations(torch, x) -> dict:
    window, bands = torch.hann_window(N_FFT, device="cuda"), mel_matrix(torch).cuda()
    pool = torch.nn.functional

    def stft():
        return torch.stft(x, N_FFT, HOP, window=window, center=True, pad_mode="constant", return_complex=True)

    def logmel():
        return 10 * torch.log10(torch.clamp(bands @ stft().abs().square(), min=1e-10))

    return {
        "log-mel": logmel,
        "stft": stft,
        "rms": lambda: pool.avg_pool1d(x.square()[:, None], N_FFT, HOP, padding=N_FFT // 2).sqrt(),
        "peak": lambda: pool.max_pool1d(x.abs()[:, None], N_FFT, HOP, padding=N_FFT // 2),
    }


def measure(torch, body, rounds: int, calls: int) -> list:
    seconds = []
    for r in range(-WARM, rounds):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(calls):
            body()
        end.record()
        end.synchronize()
        if r >= 0:
            seconds.append(begin.elapsed_time(end) / 1000 / calls)
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
        for row, body in operations(torch, x).items():
            try:
                seconds = measure(torch, body, rounds, calls)
                print(json.dumps({"row": row, "seconds": statistics.median(seconds), "least": min(seconds),
                                  "most": max(seconds), "version": torch.__version__}), flush=True)
            except RuntimeError as e:
                print(json.dumps({"row": row, "not_run": str(e).splitlines()[0]}), flush=True)
            torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main())
