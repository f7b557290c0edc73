"""Rows of networks of released size: what bench/gpu/separation and bench/gpu/separation_peer.py print, one line of JSON
each, as rows of the report."""
import measure
from report import Rows, text_of_time

PRECISIONS = ("fp32", "tf32", "bf16")
CHECKS = tuple(f"{stems} stems, {p}" for stems in (4, 6) for p in PRECISIONS)
BATCHES = (1, 4, 8, 16)
WAYS = ("eager", "compiled")
PEERS = tuple(f"{p}, {way}" for way in WAYS for p in PRECISIONS)
MEMORY = 4e9  # bytes of the device that eight segments may take
MEMORY_BATCH = 8


def add_checks(rows: Rows, ran: tuple) -> None:
    """A row that is missing has not passed."""
    found = measure.parse(ran[1])
    for name in CHECKS:
        row = found.get(name)
        if row is None:
            rows.add("separation", name, "failed", measure.why_missing(*ran))
            continue
        detail = (f"{row['db']:.1f} dB beside the CPU's ({row['least_db']:.0f} asserted), {row['db_batch']:.1f} dB "
                  f"{row['batch']} at once, {'equal' if row['equal'] else 'OTHER'} bits; {row['launches']} launches, "
                  f"then {row['graph_launches']} of a graph and {row['launches_later']} others")
        rows.add("separation", name, "passed" if row["passed"] else "failed", detail, **row)


def add_speed(rows: Rows, ran: tuple) -> dict:
    """Precision -> seconds of one segment, copies included."""
    found, missing, alone = measure.parse(ran[1]), {"not_run": measure.why_missing(*ran)}, {}
    for precision in PRECISIONS:
        for batch in BATCHES:
            row = found.get(f"{precision}, {batch} segments", missing)
            add_batch(rows, f"separation, {precision}, {batch} at once", batch, row)
            if batch == 1 and "with_copies" in row:
                alone[precision] = row["with_copies"]
        job = found.get(f"{precision}, songs", missing)
        name = f"separation, {precision}, songs"
        if "not_run" in job:
            rows.add("bench", name, "not run", job["not_run"])
        else:
            rows.add("bench", name, "measured", f"{job['songs']} songs, {job['audio_seconds']:.4g} s of audio, in "
                     f"{text_of_time(job['seconds'])}: {job['times_real_time']:.3g}x real time", **job)
    return alone


def add_batch(rows: Rows, name: str, batch: int, row: dict) -> None:
    if "not_run" in row:
        rows.add("bench", name, "not run", row["not_run"])
        return
    rate = f", {row['flops_per_s'] / 1e12:.1f} TFLOP/s" if "flops_per_s" in row else ""
    used = f"{row['bytes_used'] / 1e9:.2f} GB"
    used += f" of {MEMORY / 1e9:.0f}: {'kept' if row['bytes_used'] <= MEMORY else 'NOT KEPT'}" \
        if batch == MEMORY_BATCH else ""
    rows.add("bench", name, "measured", f"a segment {text_of_time(row['seconds'])} ({text_of_time(row['least'])} to "
             f"{text_of_time(row['most'])}){rate}, with copies {text_of_time(row['with_copies'])}; a song of "
             f"{row['song_segments']} segments {text_of_time(row['song_seconds'])}; "
             f"{row['launches'] / batch:.4g} launches a segment, {row['launches']} a run, then one graph; {used}", **row)


def add_peers(rows: Rows, ran: tuple, alone: dict) -> None:
    found, missing = measure.parse(ran[1]), {"not_run": measure.why_missing(*ran)}
    for name in PEERS:
        row, precision = found.get(name, missing), name.split(",", maxsplit=1)[0]
        if "not_run" in row:
            rows.add("bench", f"separation, {name}: torch", "not run", row["not_run"])
            continue
        times = {"times": row["seconds"] / alone[precision]} if precision in alone else {}
        beside = f": {times['times']:.2f}x ours" if times else ""
        rows.add("bench", f"separation, {name}: torch", "measured", f"{text_of_time(row['seconds'])}{beside}; ours is "
                 f"{row['db']:.1f} dB from it (torch {row['version']})", **row, **times)
