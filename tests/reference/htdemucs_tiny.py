#!/usr/bin/env python3
"""Writes the smallest network that has one of each layer: for tests of who runs it where, not of its numbers.

    .deps/peers/bin/python tests/reference/htdemucs_tiny.py OUT [--seed N]

tests/data/htdemucs_tiny/model.safetensors is seed 1. A segment is a fortieth of a second, which the emulated device has
in a tenth of one. Needs what htdemucs_reference.py needs.
"""
import argparse
import pathlib
from fractions import Fraction

from htdemucs_reference import build, save


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("out", type=pathlib.Path)
    a.add_argument("--seed", type=int, default=1)
    a = a.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    save(*build(4, a.seed, channels=4, bottom=0, heads=1, segment=Fraction(1, 40), nfft=512, depth=2, growth=1,
                t_layers=2, t_hidden_scale=1.0, dconv_depth=1, dconv_comp=4), a.out / "model.safetensors")


if __name__ == "__main__":
    main()
