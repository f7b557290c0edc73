#!/usr/bin/env python3
"""Writes tests/runtime/demucs_pcm.h: what demucs 4.1.0's save_audio makes of given floats.

    .deps/peers/bin/python tests/reference/audio_write_demucs.py | clang-format-14 > tests/runtime/demucs_pcm.h

Four signals (quiet, loud, and on both sides of the peak where rescaling begins), three clip modes, three kinds of
samples.
The files are really written and read back, headers included. Needs demucs and torch, no network.
"""
import pathlib
import sys
import tempfile

import numpy as np
import torch
import demucs
from demucs.audio import save_audio

CHANNELS, FRAMES, RATE = 2, 20, 44100
MODES = ["rescale", "clamp", "none"]
KINDS = [("int16", {"bits_per_sample": 16}), ("int24", {"bits_per_sample": 24}), ("float32", {"as_float": True})]


def around(value, steps=2):
    """A float32 and its neighbours."""
    out = [np.float32(value)]
    for _ in range(steps):
        out = [np.nextafter(out[0], np.float32(-9))] + out + [np.nextafter(out[-1], np.float32(9))]
    return out


def signals():
    random = np.random.RandomState(4)
    steps = [s for k in (1, 2, 3, 32766) for s in around(k / 32767)]  # where truncation jumps
    steps += [s for k in (-1, -32766) for s in around(k / 32767)]
    quiet = np.concatenate([[0, -0.0, 1e-30, -1e-8, 0.5 / 32767, 1.5 / 32767, -0.75 / 32767], steps[:10],
                            steps[20:25], random.uniform(-0.6, 0.6, 18)])
    loud = np.concatenate([[1.7, -1.7, 1, -1, 0.99, -0.99, 1.0000001, 1 / 3], steps[15:20], steps[25:30],
                           random.uniform(-1.7, 1.7, 22)])
    border = np.concatenate([[0], around(-0.99), around(0.99), random.uniform(-0.9, 0.9, 29)])
    peaks = [p for p in around(1 / 1.01, 4) if torch.tensor(p) * 1.01 <= 1][-1:]  # the largest that is left alone
    peaks += [np.nextafter(peaks[0], np.float32(9))]
    for x in (quiet, loud):
        yield x.astype("<f4")
    for p in peaks:
        border[0] = p
        yield border.astype("<f4")


def main():
    if demucs.__version__ != "4.1.0":
        sys.exit("audio_write_demucs.py: demucs 4.1.0 is wanted, this is " + demucs.__version__)
    inputs = list(signals())
    print("/* Made by tests/reference/audio_write_demucs.py with demucs 4.1.0: do not edit. Files of 20 stereo frames at")
    print(" * 44.1 kHz by save_audio, and the bits of the floats that went in. */")
    print("#ifndef DEMUCS_PCM_H\n#define DEMUCS_PCM_H\n#include <stdint.h>\n")
    print(f"enum {{ DEMUCS_SAMPLES = {CHANNELS * FRAMES}, DEMUCS_RATE_HZ = {RATE}, DEMUCS_CHANNELS = {CHANNELS} }};\n")
    print(f"static const uint32_t demucs_inputs[{len(inputs)}][DEMUCS_SAMPLES] = {{")
    for x in inputs:
        print("{" + ", ".join(f"0x{v:08x}" for v in x.view("<u4")) + "},")
    print("};\n")
    print("static const struct {\n    int input;\n    const char *clip, *format;\n    int bytes;\n"
          "    unsigned char file[256];\n} demucs_files[] = {")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "x.wav"
        for i, x in enumerate(inputs):
            for mode in MODES:
                for kind, how in KINDS:
                    wav = torch.from_numpy(x.reshape(FRAMES, CHANNELS).T.copy())
                    save_audio(wav, path, RATE, clip=mode, **how)
                    data = path.read_bytes()
                    print(f'{{{i}, "{mode}", "wav/{kind}/demucs", {len(data)}, {{' + ", ".join(map(str, data)) + "}},")
    print("};\n\n#endif")


if __name__ == "__main__":
    main()
