#!/usr/bin/env python3
"""The network that `separation check --folder FOLDER` left in a folder, by torch with demucs 4.1.0: what a segment takes
there, and how near our stems are to its. As users run it, and compiled; each with the precision of our row: fp32
without TF32 anywhere, tf32 with it in products and cuDNN, bf16 by autocast. Samples go in and out, as ours do.

    separation_peer.py FOLDER [--device cuda|cpu] [--rounds N] [--ways eager,compiled]

One line of JSON per row, {"row":..,"not_run":..} where a row cannot be measured (memory, say)."""
import argparse
import contextlib
import json
import os
import statistics
import struct
import time
from fractions import Fraction

PRECISIONS, WAYS = ("fp32", "tf32", "bf16"), ("eager", "compiled")
WARM, ROW_SECONDS, ROUNDS_LEAST = 2, 5, 3


def tell(row: str, **figures) -> None:
    print(json.dumps({"row": row, **figures}), flush=True)


def read_network(np, torch, path: str):
    """demucs' class with the file's weights, without the library that it loads files with."""
    from demucs.htdemucs import HTDemucs

    with open(path, "rb") as stream:
        length, = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
        data = np.frombuffer(stream.read(), dtype=np.float32)
    kwargs = json.loads(header.pop("__metadata__")["kwargs"])
    segment = kwargs["segment"]
    kwargs["segment"] = Fraction(segment["numerator"], segment["denominator"])
    network = HTDemucs(**kwargs).eval()
    network.load_state_dict({name: torch.from_numpy(data[e["data_offsets"][0] // 4:e["data_offsets"][1] // 4].copy()
                                                    .reshape(e["shape"])) for name, e in header.items()})
    return network


def worst_db(np, theirs, ours) -> float:
    """Of the worst stem; [frames][stems][2]."""
    theirs, ours = theirs.astype(np.float64), ours.astype(np.float64)
    signal, error = (theirs**2).sum((0, 2)), ((theirs - ours)**2).sum((0, 2))
    return float((10 * np.log10(signal / error)).min())


def set_precision(torch, precision: str, device: str):
    """For all of torch; gives what the network runs in."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    return torch.autocast(device, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def measure(torch, network, mix, context, a) -> tuple:
    """Seconds of each round, and the stems of the last, [frames][stems][2]."""
    seconds, began = [], time.monotonic()
    for r in range(-WARM, a.rounds):
        start = time.perf_counter()
        with context:
            stems = network(mix.to(a.device)[None])[0].float().cpu()  # which waits
        if r >= 0:
            seconds.append(time.perf_counter() - start)
        if len(seconds) >= ROUNDS_LEAST and time.monotonic() - began > ROW_SECONDS:
            break
    return seconds, stems.permute(2, 0, 1).contiguous().numpy()


def run(np, torch, network, a) -> None:
    mix = torch.from_numpy(np.fromfile(os.path.join(a.folder, "mix.raw"), np.float32).reshape(-1, 2).T.copy())
    for way in a.ways.split(","):
        for precision in PRECISIONS:
            row = f"{precision}, {way}"
            try:
                context = set_precision(torch, precision, a.device)
                called = torch.compile(network) if way == "compiled" else network
                seconds, stems = measure(torch, called, mix, context, a)
                ours = np.fromfile(os.path.join(a.folder, f"{precision}.raw"), np.float32).reshape(stems.shape)
                tell(row, seconds=statistics.median(seconds), least=min(seconds), most=max(seconds),
                     db=worst_db(np, stems, ours), version=torch.__version__)
            except Exception as e:  # pylint: disable=broad-except  # compilers of torch fail in many ways
                tell(row, not_run=f"{type(e).__name__}: {(str(e).splitlines() or [''])[0][:300]}")
            torch.compiler.reset()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--ways", default=",".join(WAYS))
    a = parser.parse_args()
    rows, why = [f"{p}, {way}" for way in WAYS for p in PRECISIONS], ""
    try:
        import numpy as np
        import torch
        network = read_network(np, torch, os.path.join(a.folder, "model.safetensors"))
    except ImportError as e:
        why = f"{e.name} is not installed"
    if not why and a.device == "cuda" and not torch.cuda.is_available():
        why = f"torch {torch.__version__} sees no GPU"
    if why:
        for row in rows:
            tell(row, not_run=why)
        return 0
    if a.device == "cpu":  # a trial: its threads wait actively for each other
        torch.set_num_threads(1)
    with torch.inference_mode():
        run(np, torch, network.to(a.device), a)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
