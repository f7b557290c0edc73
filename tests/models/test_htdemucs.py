"""HTDemucs and whole signals through it, against the stems that PyTorch made (tests/data/htdemucs_small) and against
a plain overlap-add in double of segments run one by one. Needs no PyTorch; test_htdemucs_torch.py has what does.

With WAVEMILL_TEST_ISA only what depends on the instruction set is tested: parity, threads and one length. The rest is
the same code above it, tested once. With WAVEMILL_TEST_BACKEND parity on that backend, in all precisions.
"""
import os

import numpy as np

from network import DATA, RATE, SMALL_SEGMENT, SHIFT_FRAMES, close, equal, main, segment, some, whole, zeros_of

ONE_ISA = "WAVEMILL_TEST_ISA" in os.environ
CASE = np.load(os.path.join(DATA, "htdemucs_small", "case.npz"))
EVERY = 7
MIX = CASE["mix"].astype(np.float32) / 32768


def overlap_added(x: np.ndarray, overlap: float = 0.25, chunk: int = SMALL_SEGMENT, zeros: int = 0) -> np.ndarray:
    """The equation in models/demucs_split.h, step by step in double; segments by the network itself."""
    mono = x.astype(np.float64).mean(1)
    mean, deviation = mono.mean(), (mono.std(ddof=1) if len(x) > 1 else 0) + 1e-8
    signal = np.concatenate([np.zeros((zeros, 2)), (x - mean) / deviation])
    weight = np.minimum(np.arange(1, chunk + 1), np.arange(chunk, 0, -1)) / ((chunk + 1) // 2)
    total, norm = np.zeros((len(signal), 4, 2)), np.zeros(len(signal))
    for at in range(0, len(signal), int((1 - overlap) * chunk)):
        length = min(chunk, len(signal) - at)
        before = (chunk - length) // 2
        around = np.zeros((chunk, 2))
        first, last = max(at - before, 0), min(at - before + chunk, len(signal))
        around[first - at + before:last - at + before] = signal[first:last]
        stems = segment(around)[before:before + length]
        total[at:at + length] += weight[:length, None, None] * stems
        norm[at:at + length] += weight[:length]
    return ((total / norm[:, None, None])[zeros:] * deviation + mean).astype(np.float32)


def as_pytorch() -> None:
    close("segment", CASE["segment"], segment(MIX)[::EVERY])
    close("stems", CASE["stems"], whole(MIX)[::EVERY])


def threads_change_no_bit() -> None:
    one = segment(MIX, threads=1)
    for threads in (2, 3):
        equal(f"segment, {threads} threads", one, segment(MIX, threads=threads))
    if ONE_ISA:
        return
    one = whole(MIX, threads=1, shifts=2, seed=5)
    for threads in (2, 3):
        equal(f"whole, {threads} threads", one, whole(MIX, threads=threads, shifts=2, seed=5))


def cuts_and_saved_states_change_no_bit() -> None:
    """Blocks of 10007 frames in one separation, and another that goes on after each block of so many: smaller than
    anything, the stride, around the chunk, and all at once."""
    segment_cuts = [499, 19845, SMALL_SEGMENT - 1, SMALL_SEGMENT, 30000, SMALL_SEGMENT + 1]
    for chunk, shifts, cuts in ((SMALL_SEGMENT, 0, segment_cuts), (11025, 2, [997, 8268, 11025])):
        options = {"chunk": chunk, "shifts": shifts, "seed": 3}
        at_once = whole(MIX[:30000], **options)
        for every in some(cuts):
            equal(f"saved every {every} frames, {options}", at_once, whole(MIX[:30000], save_every=every, **options))


def shifts_by_seed() -> None:
    first = whole(MIX, shifts=1, seed=7)
    equal("the same seed", first, whole(MIX, shifts=1, seed=7))
    assert first.tobytes() != whole(MIX, shifts=1, seed=8).tobytes()
    assert first.tobytes() != whole(MIX).tobytes()
    zeros = [zeros_of(7, i) for i in range(3)]
    assert len(set(zeros)) == 3 and all(0 <= z <= SHIFT_FRAMES for z in zeros), zeros
    close("one shift", overlap_added(MIX, zeros=zeros[0]), first)
    mean = sum(overlap_added(MIX[:9000], zeros=z).astype(np.float64) for z in zeros) / 3
    close("three shifts", mean.astype(np.float32), whole(MIX[:9000], shifts=3, seed=7))


def overlaps_and_chunks() -> None:
    """Chunks: the least that is allowed, odd, and one less than the network's segment, whose stride is not whole."""
    x = MIX[:30000]
    for overlap in some([0, 0.1, 0.5, 0.75]):
        close(f"overlap {overlap}", overlap_added(x, overlap), whole(x, overlap=overlap))
    for chunk in some([RATE // 10, 11025, SMALL_SEGMENT - 1]):
        close(f"chunk {chunk}", overlap_added(x, 0.25, chunk), whole(x, chunk=chunk))


def lengths() -> None:
    stride = int(0.75 * SMALL_SEGMENT)
    all_lengths = [1, 100, stride - 1, stride, stride + 1, SMALL_SEGMENT - 1, SMALL_SEGMENT, 2 * stride,
                   SMALL_SEGMENT + 1]
    for length in [100] if ONE_ISA else some(all_lengths):
        close(f"{length} frames", overlap_added(MIX[:length]), whole(MIX[:length]))
    assert whole(MIX[:0]).shape == (0, 4, 2)


def nothing_to_hear() -> None:
    """Silence stays silence: everything is multiplied by a deviation of 0. A constant is all mean, which every stem
    gets back. A signal whose mono mix is silence is divided by 1e-8, and comes out at its own level all the same."""
    assert not whole(np.zeros_like(MIX)).any()
    assert not segment(np.zeros_like(MIX)).any()
    assert np.array_equal(whole(np.full_like(MIX, 0.5)), np.full((len(MIX), 4, 2), 0.5, np.float32))
    opposite = MIX[:, :1] * np.array([1, -1], np.float32)
    stems = whole(opposite)
    level = np.sqrt((stems.astype(np.float64)**2).mean())
    assert 1e-3 < level < 1, level
    close("silent mono mix", overlap_added(opposite), stems)


def as_pytorch_on_a_device() -> None:
    """One segment: its emulator takes seconds for it. In f32 the same, and with rounded products as near as htdemucs.md
    says."""
    close("segment", CASE["segment"], segment(MIX)[::EVERY])
    for precision, least in (("tf32", 60), ("bf16", 40)):
        os.environ["WAVEMILL_TEST_PRECISION"] = precision
        worst = close(precision, CASE["segment"], segment(MIX)[::EVERY], least)
        assert worst < 90, f"{precision}: {worst} dB: nothing was rounded"
    del os.environ["WAVEMILL_TEST_PRECISION"]


if os.environ.get("WAVEMILL_TEST_BACKEND", "cpu") != "cpu":
    main([as_pytorch_on_a_device])
main([as_pytorch, threads_change_no_bit, lengths] if ONE_ISA else
     [as_pytorch, threads_change_no_bit, cuts_and_saved_states_change_no_bit, shifts_by_seed, overlaps_and_chunks,
      lengths, nothing_to_hear])
