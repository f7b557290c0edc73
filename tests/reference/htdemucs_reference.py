#!/usr/bin/env python3
"""Writes a parity case of HTDemucs: weights, a mixture, and what PyTorch makes of it.

    .deps/peers/bin/python tests/reference/htdemucs_reference.py OUT [--every N] [--sources 4|6] [--seconds S]
        [--seed N] [--channels 48 --bottom 512 --heads 8 --segment 39/5]

tests/data/htdemucs_small is `--every 7 --seconds 1 --channels 8 --bottom 64 --heads 1 --segment 0.6`. Needs numpy,
torch 2.13.0 and demucs 4.1.0 (tools/bootstrap --check installs them), no network. Into OUT go

    model.safetensors  as the official files: float16 tensors; klass, args and kwargs as JSON in the metadata
    case.npz           mix      int16 [frames][2], 1/32768 to the unit, 44.1 kHz
                       stems    float32 [frames/N][sources][2]: frames 0, N, 2N ... of what apply_model (shifts=0,
                                split, overlap=0.25) makes of the mixture as the separate command feeds it: mean and
                                deviation taken out before, put back behind
                       segment  float32 [segment/N][sources][2]: the same frames of one bare forward pass of the first
                                segment, without normalisation and overlap-add

N and the network's strides of 4 have no common divisor: every phase of the last layers is seen.

Fresh weights hide mistakes: layer scales start at 1e-4, so that whole branches vanish from the output. Here every
layer scale is drawn around 0.5, and biases and norms are drawn too. What skips a branch fails by far. Tests import
the functions.
"""
import argparse
import json
import pathlib
from fractions import Fraction

import numpy as np
import torch
from demucs.apply import apply_model
from demucs.hf import load_safetensors_model
from demucs.htdemucs import HTDemucs
from safetensors.torch import save_file

RATE = 44100
SOURCES = ["drums", "bass", "other", "vocals", "guitar", "piano"]


def build(sources: int, seed: int, channels: int, bottom: int, heads: int, segment: Fraction, **other) -> tuple:
    """A network with weights from a seed, and the arguments that made it."""
    torch.manual_seed(seed)
    kwargs = {"sources": SOURCES[:sources], "audio_channels": 2, "channels": channels, "growth": 2, "nfft": 4096,
              "cac": True, "depth": 4, "rewrite": True, "norm_starts": 4, "norm_groups": 4, "dconv_mode": 3,
              "dconv_depth": 2, "dconv_comp": 8, "bottom_channels": bottom, "t_layers": 5, "t_heads": heads,
              "t_hidden_scale": 4.0, "segment": segment, "samplerate": RATE, "use_train_segment": True, **other}
    model = HTDemucs(**kwargs).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("scale") and p.dim() == 1:
                p.copy_(0.5 + 0.1 * torch.randn_like(p))
            elif p.dim() == 1:
                p.add_(0.05 * torch.randn_like(p))
    return model, kwargs


def save(model: HTDemucs, kwargs: dict, path: pathlib.Path) -> HTDemucs:
    """Writes the file, and returns the network that it holds: its weights have been float16 once."""
    state = {k: v.detach().half().contiguous() for k, v in model.state_dict().items()}
    segment = kwargs["segment"]
    kwargs = {**kwargs, "segment": {"_type": "fraction", "numerator": segment.numerator,
                                    "denominator": segment.denominator}}
    save_file(state, str(path), metadata={"klass": "demucs.htdemucs.HTDemucs", "args": "[]",
                                          "kwargs": json.dumps(kwargs)})
    return load_safetensors_model(path).eval()


def music_like(frames: int, seed: int) -> np.ndarray:
    """int16 [frames][2]: tones, noise, bursts of it, clicks where they begin, silence in both channels."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / RATE
    beat = (np.sin(2 * np.pi * 2 * t) > 0.95).astype(np.float64)
    left = 0.2 * np.sin(2 * np.pi * 220 * t) + 0.1 * np.sin(2 * np.pi * 441.7 * t)
    right = 0.2 * np.sin(2 * np.pi * 223 * t) + 0.3 * beat * rng.standard_normal(frames)
    x = np.stack([left + 0.05 * rng.standard_normal(frames), right], axis=1)
    x[frames // 3:frames // 3 + 2205] = 0
    return np.clip(np.round(x * 32768), -32768, 32767).astype(np.int16)


def forward(model: HTDemucs, mix: np.ndarray) -> np.ndarray:
    """One bare pass: [frames][2] to [frames][sources][2], in the network's own precision."""
    with torch.no_grad():
        return model(torch.from_numpy(mix.T.copy())[None])[0].permute(2, 0, 1).contiguous().numpy()


def separate(model: HTDemucs, mix: np.ndarray, **options) -> np.ndarray:
    """A whole signal, [frames][2] to [frames][sources][2], as demucs.api.Separator does it. One frame has no
    deviation (PyTorch says NaN); it counts as 0 here."""
    x = torch.from_numpy(mix.T.copy())
    mono = x.mean(0)
    mean, deviation = mono.mean(), mono.std() if len(mono) > 1 else torch.zeros_like(mono[0])
    options = {"shifts": 0, "split": True, "overlap": 0.25, "progress": False, **options}
    with torch.no_grad():
        out = apply_model(model, ((x - mean) / (deviation + 1e-8))[None], **options)[0]
    return (out * (deviation + 1e-8) + mean).permute(2, 0, 1).contiguous().numpy()


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("out", type=pathlib.Path)
    a.add_argument("--every", type=int, default=1)
    a.add_argument("--sources", type=int, default=4, choices=(4, 6))
    a.add_argument("--seconds", type=float, default=12.0)
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--channels", type=int, default=48, help="of the first layer")
    a.add_argument("--bottom", type=int, default=512, help="of the transformer; 0, as of six stems: none")
    a.add_argument("--heads", type=int, default=8, help="bottom 64 with one head keeps the released width of heads")
    a.add_argument("--segment", type=Fraction, default=Fraction(39, 5), help="seconds")
    a = a.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    model = save(*build(a.sources, a.seed, a.channels, a.bottom, a.heads, a.segment), a.out / "model.safetensors")
    mix = music_like(int(RATE * a.seconds), a.seed)
    x = mix.astype(np.float32) / 32768
    length = int(RATE * a.segment)
    first = np.zeros((length, 2), np.float32)
    first[:min(length, len(x))] = x[:length]
    stems = separate(model, x)
    np.savez_compressed(a.out / "case.npz", mix=mix, stems=stems[::a.every], segment=forward(model, first)[::a.every])
    print("wrote", a.out, "level of each stem", np.sqrt((stems.astype(np.float64)**2).mean((0, 2))))


if __name__ == "__main__":
    main()
