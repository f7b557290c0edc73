"""HTDemucs and whole signals through it against PyTorch and demucs 4.1.0 themselves, with weights of seeds that
nobody has seen: drawn from the clock and printed; WAVEMILL_SEED sets them again.

At least 110 dB per stem. Some weights magnify rounding so much that PyTorch's own float32 is not so near to its
double (few seeds, and odd shapes): then double decides, and ours must be at least as near to it as PyTorch's.

WAVEMILL_FULL=1 adds one segment through networks of the released sizes with four and six stems (half a minute, 3 GB).
"""
import contextlib
import os
import pathlib
import random
import sys
import tempfile
import time
from fractions import Fraction

import numpy as np
import torch
from demucs.demucs import DConv

from network import (LEAST_DB, RATE, SANITIZED, SHIFT_FRAMES, SMALL_SEGMENT, close, main, segment, snr_db, some, whole,
                     zeros_of)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference"))
import htdemucs_reference as reference  # noqa: E402 pylint: disable=wrong-import-position

SEED = int(os.environ.get("WAVEMILL_SEED") or time.time_ns() % 2**31)
SEGMENT = Fraction(SMALL_SEGMENT, RATE)


class Network:
    """One in both worlds; small unless told otherwise."""

    def __init__(self, sources: int = 4, channels: int = 8, bottom: int = 64, heads: int = 1,
                 seconds: Fraction = SEGMENT, **other):
        self.folder = tempfile.TemporaryDirectory()
        self.path, self.sources = os.path.join(self.folder.name, "model.safetensors"), sources
        made = reference.build(sources, SEED, channels, bottom, heads, seconds, **other)
        self.torch = reference.save(*made, pathlib.Path(self.path))

    def compare(self, what: str, x: np.ndarray, y: np.ndarray, run) -> None:
        theirs = run(self.torch, x)
        if min(snr_db(theirs[:, s], y[:, s]) for s in range(self.sources)) >= LEAST_DB:
            close(what, theirs, y)
            return
        exact = run(self.torch.double(), x.astype(np.float64))
        self.torch.float()
        close(f"{what}: to double", exact, y,
              min(LEAST_DB, *(snr_db(exact[:, s], theirs[:, s]) for s in range(self.sources))))

    def segment(self, what: str, x: np.ndarray) -> None:
        self.compare(what, x, segment(x, self.path, self.sources), reference.forward)

    def whole(self, what: str, x: np.ndarray, torch_options: dict | None = None, **options) -> None:
        self.compare(what, x, whole(x, self.path, self.sources, **options),
                     lambda model, x: reference.separate(model, x, **(torch_options or {})))


def music(frames: int) -> np.ndarray:
    return reference.music_like(frames, SEED).astype(np.float32) / 32768


@contextlib.contextmanager
def shifted_as_ours(seed: int):
    """demucs draws the offsets of its shifts by random.randint: there it finds those that our seed gives."""
    drawn, plain = iter(range(100)), random.randint
    random.randint = lambda least, most: SHIFT_FRAMES - zeros_of(seed, next(drawn)) if (least, most) == (
        0, SHIFT_FRAMES) else plain(least, most)
    try:
        yield
    finally:
        random.randint = plain


def four_stems() -> None:
    net = Network()
    net.segment("segment", music(SMALL_SEGMENT))
    net.whole("whole", music(RATE))


def six_stems() -> None:
    """Heads of 48, and no layer before and behind the transformer."""
    net = Network(sources=6, channels=12, bottom=0, heads=2)
    net.segment("segment", music(SMALL_SEGMENT))
    net.whole("whole", music(RATE))


def on_an_emulated_device() -> None:
    """Seconds for a segment; with sanitizers it would be minutes."""
    os.environ["WAVEMILL_TEST_BACKEND"] = "emulated"
    try:
        for options in ({}, {"sources": 6, "channels": 12, "bottom": 0, "heads": 2}):
            Network(**options).segment(f"segment, {options.get('sources', 4)} stems", music(SMALL_SEGMENT))
    finally:
        del os.environ["WAVEMILL_TEST_BACKEND"]


def to_tf32(x: torch.Tensor) -> torch.Tensor:
    return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1fff).view(torch.float32)


@contextlib.contextmanager
def rounding(round_to, dtype: torch.dtype):
    """Convolutions and linear layers round what they multiply, but for those of residual branches."""
    functions = ("linear", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d")
    plain, branch, rounds = {n: getattr(torch.nn.functional, n) for n in functions}, DConv.forward, [True]

    def rounded(function):
        def call(x, weight, *others, **options):
            if rounds[0]:
                x, weight = (round_to(v.float()).to(dtype) for v in (x, weight))
            return function(x, weight, *others, **options)
        return call

    def exact(self, x):
        rounds[0] = False
        try:
            return branch(self, x)
        finally:
            rounds[0] = True

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it has linear layers of its own
    DConv.forward = exact
    for name, function in plain.items():
        setattr(torch.nn.functional, name, rounded(function))
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        DConv.forward = branch
        for name, function in plain.items():
            setattr(torch.nn.functional, name, function)


def rounded_as_on_a_device() -> None:
    """Two networks that round are as far apart as one last bit drives them: so far lies PyTorch's float32 from its own
    double, and so far, but for 2 dB, may ours lie from it."""
    os.environ["WAVEMILL_TEST_BACKEND"] = "emulated"
    try:
        for precision, round_to in (("tf32", to_tf32), ("bf16", lambda x: x.bfloat16().float())):
            net, x = Network(), music(SMALL_SEGMENT)
            with rounding(round_to, torch.float32):
                single = reference.forward(net.torch, x)
            with rounding(round_to, torch.float64):
                double = reference.forward(net.torch.double(), x.astype(np.float64))
            os.environ["WAVEMILL_TEST_PRECISION"] = precision
            ours = segment(x, net.path, net.sources)
            for s in range(net.sources):
                theirs, got = snr_db(double[:, s], single[:, s]), snr_db(double[:, s], ours[:, s])
                print(f"    {precision}, stem {s}: {got:.1f} dB; PyTorch's float32 {theirs:.1f}")
                assert got >= min(100, theirs - 2), (precision, s, got, theirs)
    finally:
        del os.environ["WAVEMILL_TEST_BACKEND"]
        os.environ.pop("WAVEMILL_TEST_PRECISION", None)


def other_shapes() -> None:
    """What kwargs may say and the released networks do not."""
    for other in some([{"dconv_mode": 1}, {"dconv_mode": 0}, {"dconv_depth": 1}, {"dconv_comp": 4},
                       {"growth": 1, "channels": 16}, {"t_layers": 2}, {"t_hidden_scale": 1.5},
                       {"t_max_period": 100.0},
                       {"freq_emb": 0.7, "emb_scale": 3}, {"nfft": 2048, "depth": 3, "norm_starts": 3}]):
        Network(**other).segment(str(other), music(SMALL_SEGMENT))
    Network(seconds=Fraction(12345, RATE)).segment("segment of 12345 frames", music(12345))


def overlaps_and_chunks() -> None:
    """A chunk shorter than the segment is demucs' option --segment."""
    net, x = Network(), music(RATE)
    for overlap in some([0, 0.1, 0.5, 0.75]):
        net.whole(f"overlap {overlap}", x, {"overlap": overlap}, overlap=overlap)
    for chunk in some([RATE // 10, 11025, SMALL_SEGMENT - 1]):
        net.whole(f"chunk {chunk}", x, {"segment": Fraction(chunk, RATE)}, chunk=chunk)


def lengths() -> None:
    net, x, stride = Network(), music(2 * SMALL_SEGMENT), int(0.75 * SMALL_SEGMENT)
    for length in some([1, 100, stride - 1, stride, stride + 1, SMALL_SEGMENT - 1, SMALL_SEGMENT, SMALL_SEGMENT + 1]):
        net.whole(f"{length} frames", x[:length])


def shifts() -> None:
    net, x = Network(), music(30000)
    for count, seed in ((1, SEED), (3, SEED + 1)):
        with shifted_as_ours(seed):
            net.whole(f"{count} shifts", x, {"shifts": count}, shifts=count, seed=seed)


def odd_signals() -> None:
    net, x = Network(), music(RATE)
    net.whole("silent mono mix", x[:, :1] * np.array([1, -1], np.float32))
    net.whole("one channel silent", x * np.array([1, 0], np.float32))
    net.whole("far from zero", x * np.float32(0.01) + np.float32(0.9))
    net.whole("a constant", np.full((RATE, 2), 0.5, np.float32))
    click = np.zeros((RATE, 2), np.float32)
    click[20000] = 1
    net.whole("a click", click)
    assert not reference.separate(net.torch, np.zeros((RATE, 2), np.float32)).any()
    assert not whole(np.zeros((RATE, 2), np.float32), net.path).any()


def released_sizes() -> None:
    for sources, bottom in ((4, 512), (6, 0)):
        torch.set_num_threads(2)
        net = Network(sources, 48, bottom, 8, Fraction(39, 5))
        net.segment(f"{sources} stems, full size", music(343980))


torch.set_num_threads(1)  # its threads wait actively: two tests side by side take twenty times as long
print(f"WAVEMILL_SEED={SEED}", flush=True)
main([four_stems, six_stems, other_shapes, overlaps_and_chunks, lengths, shifts, odd_signals] +
     ([] if SANITIZED else [on_an_emulated_device, rounded_as_on_a_device]) +
     ([released_sizes] if os.environ.get("WAVEMILL_FULL") == "1" else []))
