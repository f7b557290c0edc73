"""Separated stems against the true ones: mir_eval's figures through the command, and what each bad track costs."""
import csv
import io
import json
import math
import os
import re
import statistics
import struct

import journey
import numpy as np
from journey import DATA, Home, write_wav

MEASURES = ["sdr_mdx", "si_sdr", "bss_sdr", "bss_isr", "bss_sir", "bss_sar"]
EXPECTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "kernels", "score_expected.h")
# set: sources, channels, rate, which rows of mir_eval: the whole signal, every estimate against its own reference
SETS = {"02": (3, 1, 8000, "expected_02_2"), "03": (4, 1, 8000, "expected_03_0"), "06": (2, 2, 16000, "expected_06_0"),
        "09": (1, 1, 8000, "expected_09_0")}


def mir_eval_rows(name: str) -> list[dict[str, float]]:
    with open(EXPECTED, encoding="utf-8") as f:
        table = re.search(name + r"\[\] = \{\n(.*?)\n\};", f.read(), re.S).group(1)
    rows = [[float(x.replace("INFINITY", "inf").replace("NAN", "nan")) for x in re.findall(r"[-\w.]+", line)] for line in table.split("\n")]
    return [dict(zip(["sdr", "isr", "sir", "sar", "sdr_filt", "estimate"], row[2:])) for row in rows]


def load(name: str) -> np.ndarray:
    """[references, estimates][source][sample][channel], 16 bit"""
    sources, channels, _, _ = SETS[name]
    return np.fromfile(os.path.join(DATA, "separation", name + ".s16"), "<i2").reshape(2, sources, -1, channels)


def put(folder: str, track: str, stem: str, signal: np.ndarray, rate: int = 8000, floats: bool = False) -> str:
    os.makedirs(os.path.join(folder, track), exist_ok=True)
    path = os.path.join(folder, track, stem + ".wav")
    data = (signal / np.float32(32768)).astype("<f4") if floats else signal.astype("<i2")
    write_wav(path, data=data.tobytes(), rate=rate, channels=signal.shape[1], bits=32 if floats else 16)
    return path


def put_sets(h: Home) -> tuple[str, str]:
    folders = h.path("true"), h.path("separated")
    for name, (sources, _, rate, _) in SETS.items():
        signals = load(name)
        for side, folder in enumerate(folders):
            for i in range(sources):
                put(folder, name, f"stem{i}", signals[side, i], rate, floats=i % 2 == 1)
    put(folders[0], "02", "mixture", load("02")[0].sum(0))
    return folders


def near(got: float | None, want: float, most: float = 1e-5) -> bool:
    """JSON has 9 digits, and null for what is infinite."""
    return got is None if not math.isfinite(want) else got is not None and abs(got - want) <= most


def plain(reference: np.ndarray, estimate: np.ndarray) -> tuple[float, float]:
    s, e = reference.astype(float).ravel() / 32768, estimate.astype(float).ravel() / 32768
    a = (s @ e) / (s @ s)
    return (10 * np.log10((s @ s + 1e-7) / (((s - e) ** 2).sum() + 1e-7)),
            10 * np.log10(((a * s) ** 2).sum() / ((a * s - e) ** 2).sum()))


def figures_are_those_of_mir_eval() -> None:
    with Home() as h:
        reference, estimate = put_sets(h)
        lines = h.lines("score", "--reference", reference, "--estimate", estimate + "/")
        tracks, summary = lines[:-1], lines[-1]["summary"]
        assert sorted(x["results"]["track"] for x in tracks) == sorted(SETS) and summary["tracks"] == 4 and summary["failed"] == 0
        for line in tracks:
            track = line["results"]["track"]
            sources, channels, rate, rows = SETS[track]
            signals, stems = load(track), line["results"]["stems"]
            assert line["input"]["path"] == os.path.join(reference, track) and line["warnings"] == []
            assert (line["input"]["sample_rate"], line["input"]["channels"], line["input"]["frames_decoded"]) == (rate, channels, signals.shape[2])
            assert line["params"] == {"bss": "sources" if channels == 1 else "images", "bss_taps": 512}
            assert [s["name"] for s in stems] == [f"stem{i}" for i in range(sources)]
            for i, want in enumerate(mir_eval_rows(rows)):
                mdx, si = plain(signals[0, i], signals[1, i])
                assert near(stems[i]["sdr_mdx"], mdx, 1e-6) and near(stems[i]["si_sdr"], si, 1e-6), (stems[i], mdx, si)
                assert near(stems[i]["bss_sdr"], want["sdr_filt" if channels == 1 else "sdr"]), (track, stems[i], want)
                assert near(stems[i]["bss_isr"], math.inf if channels == 1 else want["isr"]), (track, stems[i], want)
                assert near(stems[i]["bss_sir"], want["sir"]) and near(stems[i]["bss_sar"], want["sar"]), (track, stems[i], want)
            for m in MEASURES:
                values = [s[m] for s in stems if s[m] is not None]
                assert near(line["results"]["mean"][m], statistics.mean(values) if values else math.nan), (m, line)
        for entry, rows in [(summary["all_stems"], [x["results"]["mean"] for x in tracks]),
                            *((s, [t for x in tracks for t in x["results"]["stems"] if t["name"] == s["name"]]) for s in summary["stems"])]:
            for m in MEASURES:
                values = [r[m] for r in rows if r[m] is not None]
                assert near(entry["mean_over_tracks"][m], statistics.mean(values) if values else math.nan), (m, entry)
                assert near(entry["median_over_tracks"][m], statistics.median(values) if values else math.nan), (m, entry)
        assert {s["name"] for s in summary["stems"]} == {f"stem{i}" for i in range(4)}


def formats_and_options() -> None:
    with Home() as h:
        reference, estimate = put_sets(h)
        both = ["--reference", reference, "--estimate", estimate]
        table = h.run("score", "--no-bss", *both)
        text = table.stdout.decode()
        assert text.startswith("track") and "BSS SDR" in text and table.stderr == b"4 tracks\n", table
        assert len(re.findall("^mean of 4 tracks", text, re.M)) == len(re.findall("^median of 4 tracks", text, re.M)) == 5
        assert len(re.findall(r"^06 .* \(mean\)", text, re.M)) == 1 and not re.search(r"^09 .*\(mean\)", text, re.M)
        rows = list(csv.reader(io.StringIO(h.run("score", "--no-bss", "--csv", *both).stdout.decode())))
        assert len(rows) == 1 + 3 + 4 + 2 + 1 and all(len(r) == len(rows[0]) == 12 for r in rows) and rows[0][2:8] == MEASURES
        quick = h.lines("score", "--no-bss", *both)
        assert quick[0]["params"] == {"bss": None, "bss_taps": None}
        assert all(s["bss_sdr"] is None and s["sdr_mdx"] is not None for x in quick[:-1] for s in x["results"]["stems"])
        some = h.lines("score", "--no-bss", "--stems", "stem1,stem0", *both, code=1)
        assert "stem1" in next(x for x in some if "error" in x)["error"]["message"] and some[-1]["summary"]["failed"] == 1
        assert all(len(x["results"]["stems"]) == 2 for x in some[:-1] if "results" in x)
        assert len(h.run("score", "--dry-run", *both).stdout.splitlines()) == 10
        single = h.lines("score", "--reference", os.path.join(reference, "06"), "--estimate", os.path.join(estimate, "06"))
        assert single[0]["results"]["track"] == "" and single[0]["input"]["path"] == os.path.join(reference, "06")
        os.chdir(h.folder)
        assert h.lines("score", "--reference", "true/06", "--estimate", "separated/06")[0]["results"]["stems"] == single[0]["results"]["stems"]
        for wrong in (["--reference", reference], ["--estimate", estimate], [*both, "x"], ["--reference", h.path("none"), "--estimate", estimate],
                      ["--reference", EXPECTED, "--estimate", estimate], [*both, "--stems", "a,,b"], [*both, "--stems", "a/b"], [*both, "--taps", "5"],
                      [*both, "--priority", "1001"]):
            h.run("score", *wrong, code=2)
        os.mkdir(h.path("empty"))
        h.run("score", "--reference", h.path("empty"), "--estimate", h.path("empty"), code=2)


def tone(samples: int = 4000, channels: int = 1, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8000, 8000, (samples, channels)).astype("<i2")


def bad_tracks(reference: str, estimate: str) -> dict[str, str | None]:
    """Track and a part of its reason; None: it is scored."""

    def pair(track: str, s: np.ndarray, e: np.ndarray, stem: str = "drums") -> tuple[str, str]:
        return put(reference, track, stem, s), put(estimate, track, stem, e)

    pair("good", tone(), tone(seed=2))
    pair("long", tone(8000), tone(8000, seed=2))  # good, and what is wrong of others cannot be this one's
    pair("shorter", tone(), tone(3999))
    pair("longer", tone(), tone(4001))
    pair("second_shorter", tone(), tone())
    pair("second_shorter", tone(3000), tone(3000), "vocals")
    pair("stereo", tone(), tone(channels=2))
    put(estimate, "rate", "drums", tone(), 16000)
    put(reference, "rate", "drums", tone())
    pair("no_estimate", tone(), tone())
    put(reference, "no_estimate", "vocals", tone())
    put(reference, "alone", "drums", tone())
    put(estimate, "astray", "drums", tone())
    pair("twice", tone(), tone())
    os.link(os.path.join(estimate, "twice", "drums.wav"), os.path.join(estimate, "twice", "drums.wave"))
    pair("many", tone(), tone())
    for i in range(16):
        pair("many", tone(), tone(), f"s{i:02}")
    for i in range(9):
        pair("channels", tone(channels=2), tone(channels=2), f"s{i}")
    _, path = pair("empty", tone(), tone())
    open(path, "wb").close()
    _, path = pair("words", tone(), tone())
    with open(path, "w", encoding="utf-8") as f:
        f.write("words, words\n" * 300)
    path, _ = pair("cut", tone(), tone())
    with open(path, "r+b") as f:
        f.truncate(4000)
    _, path = pair("nan", tone(), tone())
    write_wav(path, bits=32, rate=8000, data=struct.pack("<4f", 0, 0.5, math.nan, 0) * 1000)
    _, path = pair("fifo", tone(), tone())
    os.unlink(path)
    os.mkfifo(path)
    _, path = pair("dangling", tone(), tone())
    os.unlink(path)
    os.symlink("nowhere.wav", path)
    _, path = pair("m4a", tone(), tone())
    os.unlink(path)
    os.symlink(os.path.abspath(os.path.join(DATA, "music_pluck_stereo_48k.m4a")), path)
    return {"good": None, "long": None, "shorter": "estimate drums.wav has 3999 samples, reference drums.wav 4000", "longer": "estimate drums.wav has 4001 samples",
            "second_shorter": "reference vocals.wav has 3000 samples", "stereo": "estimate drums.wav has 2 channels", "rate": "estimate drums.wav has 16000 Hz",
            "no_estimate": "no estimate of vocals", "alone": "no estimate of this track", "astray": "no reference of this track", "twice": "2 files are the estimate of drums",
            "many": "17 stems", "channels": "--no-bss", "empty": "estimate drums.wav: the file is empty", "words": "estimate drums.wav: ", "cut": "reference drums.wav: truncated",
            "nan": "estimate drums.wav: sample 2 is not a finite", "fifo": "estimate drums.wav: cannot open: it is a FIFO", "dangling": "estimate drums.wav: cannot open: No such file",
            "m4a": "libsndfile"}


def a_bad_track_costs_itself() -> None:
    with Home() as h:
        reference, estimate = h.path("true"), h.path("separated")
        reasons = bad_tracks(reference, estimate)
        both = ["--reference", reference, "--estimate", estimate]
        lines = h.lines("score", *both, code=1)
        by_track = {os.path.basename(x["input"]["path"]): x for x in lines if "input" in x}
        assert sorted(by_track) == sorted(reasons) and len(lines) == len(reasons) + 1, set(by_track) ^ set(reasons)
        for track, reason in reasons.items():
            line = by_track[track]
            if reason is None:
                assert "results" in line, line
            else:
                assert line["error"]["class"] == "INPUT" and reason in line["error"]["message"], line
        assert lines[-1]["summary"]["tracks"] == 2 and lines[-1]["summary"]["failed"] == len(reasons) - 2
        table = h.run("score", *both, code=1)
        assert table.stderr.count(b"failed: ") == len(reasons) - 2 and table.stdout.count(b"mean of 2 tracks") == 2, table
        rows = list(csv.reader(io.StringIO(h.run("score", "--csv", *both, code=1).stdout.decode())))
        assert all(len(r) == 12 for r in rows) and sum(r[10] == "INPUT" for r in rows) == len(reasons) - 2
        quick = h.lines("score", "--no-bss", *both, code=1)
        assert "results" in next(x for x in quick if x.get("input", {}).get("path", "").endswith("/channels"))


def silence_and_perfection() -> None:
    """null where a figure does not exist; the track is scored all the same."""
    with Home() as h:
        reference, estimate = h.path("true"), h.path("separated")
        for stem, s, e in [("drums", tone(), tone(seed=2)), ("vocals", 0 * tone(), tone())]:
            put(reference, "quiet", stem, s)
            put(estimate, "quiet", stem, e)
        for stem in ("drums", "vocals"):
            put(reference, "perfect", stem, tone(seed=len(stem)))
            put(estimate, "perfect", stem, tone(seed=len(stem)))
        lines = {x["results"]["track"]: x for x in h.lines("score", "--reference", reference, "--estimate", estimate) if "results" in x}
        drums, vocals = lines["quiet"]["results"]["stems"]
        assert all(vocals[m] is None for m in MEASURES[1:]) and vocals["sdr_mdx"] < -60
        assert drums["si_sdr"] is not None and drums["bss_sdr"] is None
        assert lines["quiet"]["warnings"] == ["reference vocals.wav is silent: its SI-SDR, and BSS Eval of the track, are undefined"]
        assert all(s["si_sdr"] is None and s["sdr_mdx"] > 60 for s in lines["perfect"]["results"]["stems"])


def long_tracks_in_little_memory() -> None:
    """A minute in stereo, four stems: 8 x 21 MB decoded. A worker that is allowed 96 MiB in all does them."""
    with Home() as h:
        reference, estimate = h.path("true"), h.path("separated")
        block = tone(44100, 2)
        for i, stem in enumerate(("bass", "drums", "other", "vocals")):
            s = np.tile(np.roll(block, 997 * i, 0), (60, 1))
            put(reference, "long", stem, s, 44100)
            put(estimate, "long", stem, s // 2 + 50, 44100)
        for options, bss in ((["--no-bss"], False), ([], True)):
            if bss:  # four in stereo take long; two show the same
                options = ["--stems", "bass,drums"]
            line = h.lines("score", "--memory-limit", "96", "--threads", "1", *options, "--reference", reference, "--estimate", estimate)[0]
            assert line["input"]["frames_decoded"] == 60 * 44100 and all((s["bss_sdr"] is not None) == bss for s in line["results"]["stems"]), line
            h.wait_for_end()


def submitted_watched_and_shown() -> None:
    """A job of scores that nobody waited for: `watch` and `show` have what the command itself prints."""
    with Home() as h:
        reference, estimate = put_sets(h)
        both = ("--no-bss", "--reference", reference, "--estimate", estimate)
        direct = h.lines("score", *both)
        table = h.run("score", *both).stdout.decode()
        served = h.serve()
        try:
            h.run("submit", "score", "--csv", *both, code=2)
            os.mkdir(os.path.join(reference, "lonely"))
            put(reference, "lonely", "stem0", load("09")[0, 0])
            refused, told = [json.loads(x) for x in h.run("submit", "score", "--json", "--name", "night", *both, code=1).stdout.splitlines()]
            assert "lonely" in refused["input"]["path"] and told["items"] == 4, (refused, told)
            job = str(told["job"])
            watched = {x["results"]["track"]: x for x in h.lines("watch", job)}
            shown = {x["results"]["track"]: x for x in json.loads(h.run("show", "--json", job).stdout)["outcomes"]}
            assert len(watched) == len(shown) == 4
            for line in direct[:-1]:
                for other in (watched, shown):
                    again = other[line["results"]["track"]]
                    assert again["results"] == line["results"] and again["params"] == line["params"], (again, line)
                    assert again["input"] == line["input"] and again["state"] == "done"
            rows = [x for x in table.splitlines() if x.strip()]
            for command in ("watch", "show"):
                text = h.run(command, job).stdout.decode().splitlines()
                assert set(rows) <= set(text), (command, set(rows) - set(text))
            # an analysis prints no more than before
            other = h.lines("submit", "analyze", os.path.join(reference, "06"))[0]["job"]
            assert all(x["results"] == {} for x in h.lines("watch", str(other)))
            assert json.loads(h.run("show", "--json", str(other)).stdout)["outcomes"] == []
        finally:
            served.terminate()
            assert served.wait(20) == 0


def nothing_leaks() -> None:
    with Home() as h:
        reference, estimate = h.path("true"), h.path("separated")
        bad_tracks(reference, estimate)
        served = h.serve()

        def descriptors() -> dict[str, int]:
            return {name: len(os.listdir(f"/proc/{pid}/fd")) for name in ("worker", "compute") for pid in h.processes(f"wavemill-{name}")}

        seen = []
        for _ in range(6):
            h.run("score", "--no-bss", "--reference", reference, "--estimate", estimate, code=1)
            seen.append(descriptors())
        assert all(seen[-1][n] <= seen[2][n] + 1 for n in seen[-1]) and len(seen[-1]) == 2, seen
        watched = [json.loads(x) for x in h.run("watch", "--json", "1", code=None).stdout.splitlines()]
        assert any(x.get("input", {}).get("path", "").endswith("/good") for x in watched), watched
        served.terminate()
        assert served.wait(10) == 0


if __name__ == "__main__":
    journey.main([figures_are_those_of_mir_eval, formats_and_options, a_bad_track_costs_itself, silence_and_perfection,
                  long_tracks_in_little_memory, submitted_watched_and_shown, nothing_leaks])
