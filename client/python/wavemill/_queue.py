"""Features of files through the queue: the `wavemill` command does the talking."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from typing import Any

import numpy as np

from ._library import WavemillError

_FLAGS = {"center": ("--no-center", False), "htk": ("--htk", True)}  # said when the argument has this value
_RENAMED = {"sr": "rate", "fft": "n-fft"}


def _arguments(options: dict[str, Any]) -> list[str]:
    arguments: list[str] = []
    for name, value in options.items():
        if name in _FLAGS:
            flag, when = _FLAGS[name]
            arguments += [flag] if bool(value) == when else []
        elif name == "norm":
            arguments += ["--no-norm"] if value is None else []
        elif name == "pad_mode":
            arguments += ["--pad", "zero" if value == "constant" else str(value)]
        elif name == "top_db" and value is None:
            arguments += ["--top-db", "none"]
        elif value is not None:
            arguments += ["--" + _RENAMED.get(name, name).replace("_", "-"), str(value)]
    return arguments


def features(path: str | os.PathLike, kind: str, *, force: bool = False, **options: Any) -> np.ndarray:
    """One feature of a file, [bins, frames], computed by the queue's workers or found in the store; of kind samples the
    signal itself, [samples], or with channels="each" [samples, channels] of a file with several.

    kind: stft, magnitude, power, db, mel, logmel, mfcc, rms, peak, zcr, centroid, bandwidth, rolloff, flatness, contrast,
    flux, poly, samples. Options have librosa's names: n_fft, hop_length, win_length, window, center, pad_mode, n_mels, fmin, fmax,
    htk, norm, top_db, n_mfcc, lifter, roll_percent, n_bands, quantile, order, sr (change to this rate first). Raises
    FileNotFoundError without the `wavemill` command, ValueError for options that it refuses, WavemillError with its
    reason for files that it cannot read."""
    program = shutil.which(os.environ.get("WAVEMILL_PROGRAM", "wavemill"))
    if not program:
        raise FileNotFoundError("the `wavemill` command is not on PATH; WAVEMILL_PROGRAM can name it")
    with tempfile.TemporaryDirectory(prefix="wavemill-") as folder:
        out = os.path.join(folder, "out.npy")
        command = [program, "features", os.fspath(path), "--kind", kind, "--out", out, "--json", *_arguments(options)]
        if force:
            command.append("--force")
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode == 2:
            raise ValueError(done.stderr.decode("utf-8", "replace").strip().splitlines()[0])
        for line in done.stdout.splitlines():
            error = json.loads(line).get("error")
            if error:
                raise WavemillError(f"{os.fspath(path)!s}: {error['class']}: {error['message']}")
        if done.returncode:
            raise WavemillError(done.stderr.decode("utf-8", "replace").strip())
        return np.load(out)
