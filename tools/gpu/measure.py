"""Benchmark rows: what bench_device and torch_peer.py print, one line of JSON each, as rows of the report."""
import json

from report import Rows, text_of_time

OPERATIONS = ("log-mel", "stft", "rms", "peak")  # with a row of the baseline each
ALONE = ("spectrogram", "centroid", "bandwidth", "rolloff", "flatness", "contrast", "flux", "poly", "zero_crossing",
         "waveform", "level", "mixdown", "decibel_peak", "decibel_clip", "mfcc", "statistics", "istft", "hpss",
         "time_stretch", "phase_step", "resample", "search1", "search", "default analysis")
NETWORKS = ("conv", "conv3x3", "linear", "conv_transpose", "dconv", "layer_norm", "group_norm", "moments", "attention",
            "maps_from_complex", "complex_from_maps", "clear_margins", "mirror", "standardize", "unstandardize", "add_maps",
            "add_planar", "conv2d_pack", "conv2d", "conv2d_data", "conv2d_weight", "column_sums", "activate",
            "activate_gradient", "latent", "latent_gradient", "reconstruction", "gradient_norm", "adamw")
TORCH = OPERATIONS + ("mixdown", "mfcc", "statistics", "istft", "search1", "search")
BASELINES = {"baseline": "cuFFT and separate kernels", "baseline_chunked": "the same, 4096 frames at once"}
COPIES = {"copy_pinned_in": "pinned host memory to device", "copy_pinned_out": "device to pinned host memory",
          "copy_pageable_in": "pageable host memory to device"}
LAUNCHES = {"launch_and_wait": "launch, and wait", "launch_queued": "launch, many queued",
            "launch_graph": "launch, of a graph's"}


def parse(said: str) -> dict:
    """Row name -> its figures. What is no JSON is a message for people."""
    rows = {}
    for line in said.splitlines():
        if line.startswith("{"):
            try:
                figures = json.loads(line)
                rows[figures.pop("row")] = figures
            except (ValueError, KeyError):
                pass
    return rows


def why_missing(status: int, said: str) -> str:
    """Of a row that a program did not print."""
    words = [line for line in said.strip().splitlines() if not line.startswith("{")]
    return f"the program ended with {status}" + (f": {words[-1]}" if words else " before it")


def share_of(figures: dict) -> str:
    if "share" not in figures:
        return "limits not measured"
    arithmetic = figures["floor_arithmetic"] > figures["floor_memory"]
    return f"{100 * figures['share']:.0f} % of what {'arithmetic' if arithmetic else 'memory'} allows"


def bar_of(figures: dict) -> str:
    """Whether the row keeps to its bar; bars are of one size, and other sizes are not judged."""
    if "bar" not in figures:
        return ""
    judged = {True: "reached", False: "NOT REACHED", None: "not judged at these sizes"}[figures.get("reached")]
    return f", bar {text_of_time(figures['bar'])}: {judged}"


def add_ours(rows: Rows, name: str, figures: dict) -> None:
    spread = f"{text_of_time(figures['least'])} to {text_of_time(figures['most'])}"
    rates = [figures[what] / figures["seconds"] for what in ("bytes", "flops")]
    rate = f"{figures['bytes'] / 1e6:.4g} MB, {rates[0] / 1e9:.0f} GB/s, {rates[1] / 1e12:.2f} TFLOP/s"
    what = f"{figures['what']}: " if figures.get("what") else ""
    rows.add("bench", name, "measured", f"{what}{text_of_time(figures['seconds'])} ({spread}), {rate}, "
             f"{share_of(figures)}{bar_of(figures)}", **figures)


def add_baseline(rows: Rows, name: str, ours: dict, why: str) -> None:
    """Beside ours; a baseline that computes something else is no baseline."""
    for key, label in BASELINES.items():
        row = f"{name}: {label}"
        if name in ("rms", "peak"):
            rows.add("bench", row, "not run", "it has no transform")
        elif key not in ours:
            rows.add("bench", row, "not run", why)
        elif not ours["difference"] <= 1e-5:
            rows.add("bench", row, "not run", f"its results differ by {ours['difference']:.1e}")
        else:
            times = ours[key] / ours["seconds"]
            rows.add("bench", row, "measured", f"{text_of_time(ours[key])}: {times:.2f}x ours", seconds=ours[key],
                     times=times, difference=ours["difference"])


def add_torch(rows: Rows, name: str, ours: dict, peer: dict) -> None:
    row = f"{name}: torch"
    if "seconds" not in peer:
        rows.add("bench", row, "not run", peer["not_run"])
        return
    times = peer["seconds"] / ours["seconds"] if ours else 0
    beside = f": {times:.2f}x ours" if ours else ""
    rows.add("bench", row, "measured", f"{text_of_time(peer['seconds'])}{beside} (torch {peer['version']})", **peer,
             **({"times": times} if ours else {}))


def add_machine(rows: Rows, measured: dict, missing: dict) -> None:
    limits = measured.get("limits", missing)
    if "not_run" in limits:
        rows.add("bench", "limits", "not run", limits["not_run"])
    else:
        rows.add("bench", "limits", "measured", f"copies at {limits['copy_bytes_per_s'] / 1e9:.4g} GB/s, read and "
                 f"written; {limits['flops_per_s'] / 1e12:.4g} TFLOP/s of multiply-adds", **limits)
    for key, label in {**COPIES, **LAUNCHES}.items():
        figures = measured.get(key, missing)
        if "not_run" in figures:
            rows.add("bench", label, "not run", figures["not_run"])
        elif key in COPIES:
            rows.add("bench", label, "measured", f"{figures['bytes_per_s'] / 1e9:.3g} GB/s", **figures)
        else:
            rows.add("bench", label, "measured", f"{text_of_time(figures['seconds'])} each", **figures)


def add_all(rows: Rows, ran: tuple, torch: tuple) -> dict:
    """ran, torch: (exit status, output) of the two programs. Gives what the program said of the device."""
    measured, peers = parse(ran[1]), parse(torch[1])
    missing = {"not_run": why_missing(*ran)}
    why = measured.get("baseline", {}).get("not_run", "the operation was not measured")
    for name in OPERATIONS + ALONE + NETWORKS:
        ours = measured.get(name, missing)
        if "not_run" in ours:
            rows.add("bench", name, "not run", ours["not_run"])
            ours = {}
        else:
            add_ours(rows, name, ours)
        if name in OPERATIONS:
            add_baseline(rows, name, ours, why)
        if name in TORCH:
            add_torch(rows, name, ours, peers.get(name, {"not_run": why_missing(*torch)}))
    add_machine(rows, measured, missing)
    return measured.get("device", {})
