"""Installs to a prefix, moves it, and runs every command that exists, chained on real audio."""
import csv
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

import journey
import numpy as np
from journey import AUDIO, DATA, Home

KINDS = {"stft": (1025, np.complex64), "mel": (128, np.float32), "logmel": (128, np.float32), "rms": (1, np.float32),
         "peak": (1, np.float32), "zcr": (1, np.float32), "centroid": (1, np.float32), "magnitude": (1025, np.float32),
         "power": (1025, np.float32), "db": (1025, np.float32), "mfcc": (20, np.float32), "bandwidth": (1, np.float32),
         "rolloff": (1, np.float32), "flatness": (1, np.float32), "contrast": (7, np.float32), "flux": (1, np.float32),
         "poly": (2, np.float32)}

COMMANDS = ["analyze", "features", "separate", "score", "train", "sweep", "submit", "watch", "jobs", "show", "logs", "dead", "retry", "cancel", "pause", "resume", "priority",
            "queue", "serve", "worker", "store", "models", "dataset", "plot", "doctor"]


def installed_and_moved() -> None:
    """The whole journey, from programs that were moved after their installation."""
    prefix = tempfile.mkdtemp(prefix="wavemill-prefix-")
    try:
        subprocess.run(["cmake", "--install", os.path.dirname(journey.BIN), "--prefix", os.path.join(prefix, "a")], check=True,
                       stdout=subprocess.DEVNULL)
        os.rename(os.path.join(prefix, "a"), os.path.join(prefix, "b"))
        with Home(os.path.join(prefix, "b", "bin")) as h:
            help_text = h.run("--help").stdout.decode()
            commands = re.findall(r"^  (\w+) ", help_text, re.M)
            assert commands == COMMANDS, commands
            for command in commands:
                assert h.run(command, "--help").stdout.startswith(b"usage: wavemill " + command.encode())
            assert h.run("--version").stdout.startswith(b"wavemill 0.")
            doctor = h.lines("doctor")[0]["findings"]
            assert doctor["wavemill-compute"]["mend"] is None and "none running" in doctor["scheduler"]["value"]

            table = h.run("analyze", DATA)
            assert table.stdout.count(b"\n") == len(AUDIO) + 1, table.stdout
            assert b"features are in " + h.home.encode() in table.stderr
            again = h.run("analyze", DATA)
            assert b"all came from the store" in again.stderr
            lines = h.lines("analyze", DATA)
            assert all(x["computed"]["from_store"] for x in lines) and len(lines) == len(AUDIO)

            served = h.serve()
            out = h.path("x.npy")
            for kind, (bins, dtype) in KINDS.items():
                h.run("features", os.path.join(DATA, "drums_tabla_stereo_44k.flac"), "--kind", kind, "--out", out)
                array = np.load(out)
                assert array.shape == (bins, 1 + 470732 // 512) or array.shape[0] == bins, (kind, array.shape)
                assert array.dtype == dtype and array.flags.f_contiguous and np.isfinite(array).all()
            jobs = h.lines("jobs")[3:]  # those of the three analyses are kept, though their scheduler is gone
            assert [j["kind"] for j in jobs] == ["features"] * len(KINDS) and all(j["state"] == "done" for j in jobs), jobs
            assert h.run("jobs").stdout.count(b"\n") == 1 + 3 + len(KINDS)
            assert h.run("jobs", "--csv").stdout.startswith(b"job,state,kind")
            h.run("cancel", "1")
            h.run("cancel", "999", code=1)
            job_is_shown(h)
            stats = h.lines("store", "stats")[0]
            assert stats["records_by_feature"]["summary"] == len(AUDIO) and stats["quarantined"] == 0
            assert b"records" in h.run("store", "stats").stdout
            assert h.lines("store", "fsck")[0]["damaged_records"] == 0
            assert b"0 damaged" in h.run("store", "fsck").stdout
            assert "running: 1 workers" in h.lines("doctor")[0]["findings"]["scheduler"]["value"]
            served.send_signal(signal.SIGINT)
            assert served.wait(10) == 0
    finally:
        shutil.rmtree(prefix)


def job_is_shown(h: Home) -> None:
    """One good file, one bad: counters are sums over results, and the failure has its path and reason."""
    good, bad = os.path.join(DATA, "oneshot_shaker_mono_44k_float.wav"), h.path("bad.wav")
    with open(bad, "wb") as f:
        f.write(b"nothing")
    h.run("analyze", "--force", good, bad, code=1)
    job = h.lines("jobs")[-1]["job"]
    shown = h.lines("show", str(job))[0]
    assert shown["items"]["done"] == 1 == shown["items"]["failed"] and shown["finished_unix_ms"] >= shown["submitted_unix_ms"]
    stages = shown["stages"]
    assert stages["results"] == 1 and stages["from_store"] == 0 == stages["on_device"] and stages["device_busy"] is None
    assert stages["decode_s"] > 0 and stages["time_s"] >= stages["decode_s"]
    failure, = shown["failures"]
    assert failure["path"] == bad and failure["error"]["class"] == "INPUT" and failure["error"]["message"]
    text = h.run("show", str(job)).stdout.decode()
    assert bad in text and "decoding" in text
    h.run("show", "999", code=1)
    for wrong in ((), ("x",), ("-1",), ("1", "2"), ("1", "--csv")):
        h.run("show", *wrong, code=2)


def check_statistics(results: dict) -> None:
    """Ten features by default, each with five statistics of its values and of their differences."""
    widths = {"rms": 1, "peak": 1, "zero_crossing_rate": 1, "log_mel_db": 128, "mfcc": 20, "spectral_centroid_hz": 1,
              "spectral_bandwidth_hz": 1, "spectral_rolloff_hz": 1, "spectral_flatness": 1, "spectral_contrast_db": 7}
    assert set(results["features"]) == set(widths)
    for name, width in widths.items():
        feature = results["features"][name]
        for part in (feature, feature["delta"]):
            for kind in ("mean", "var", "median", "min", "max"):
                values = part[kind] if width > 1 else [part[kind]]
                assert len(values) == width, (name, kind)
                if name == "spectral_contrast_db":  # 8 kHz: the octave from 6.4 kHz on does not exist
                    assert values[6] is None
                    values = values[:6]
                assert all(isinstance(v, float) for v in values), (name, kind)
        low, middle, high = (np.array(feature[k]) for k in ("min", "median", "max"))
        if name != "spectral_contrast_db":
            assert (low <= middle).all() and (middle <= high).all()


def output_formats() -> None:
    files = [os.path.join(DATA, n) for n in ("speech_mono_8k.wav", "music_stereo_44k.mp3")]
    with Home() as h:
        quiet = h.run("analyze", "--quiet", *files)
        assert quiet.stderr == b"" and quiet.stdout.count(b"\n") == 3
        rows = list(csv.reader(io.StringIO(h.run("analyze", "--csv", *files, "missing.wav", code=1).stdout.decode())))
        assert len(rows) == 4 and all(len(r) == len(rows[0]) for r in rows), rows
        assert {r[0] for r in rows[1:]} == {*files, "missing.wav"}
        assert [r for r in rows if r[0] == "missing.wav"][0][10] == "INPUT"
        progress = h.run("analyze", "--progress", "json", "--json", *files)
        states = [json.loads(x) for x in progress.stderr.splitlines() if x.startswith(b"{")]
        assert states and states[-1]["state"] == "done" and states[-1]["done"] == 2 == states[-1]["total"]
        dry = h.run("analyze", "--dry-run", DATA)
        assert dry.stdout.decode().splitlines() == AUDIO
        line = h.lines("analyze", files[0])[0]
        assert line["input"]["sample_rate"] == 8000 and line["input"]["duration_s"] == 6.0
        digest = subprocess.run(["b2sum", "-l", "256", files[0]], capture_output=True, check=True).stdout.split()[0].decode()
        assert line["input"]["blake2b"] == digest
        assert line["params"] == {"n_fft": 2048, "hop_length": 512, "n_mels": 128, "n_mfcc": 20, "sample_rate": 8000}
        check_statistics(line["results"])
        each = h.lines("analyze", "--channels", "each", os.path.join(DATA, "speech_4ch_16k.flac"))[0]["results"]
        assert len(each["channels"]) == 4 and "features" not in each
        assert all(len(c["features"]) == 10 and 0 < c["rms"] < c["peak"] for c in each["channels"])
        assert abs(each["rms"] ** 2 - sum(c["rms"] ** 2 for c in each["channels"]) / 4) < 1e-9
        assert max(c["peak"] for c in each["channels"]) == each["peak"]
        h.run("analyze", "--channels", "some", files[0], code=2)
        h.run("analyze", "--channels", "each", "--n-mels", "512", os.path.join(DATA, "speech_4ch_16k.flac"), code=1)
        some = h.lines("analyze", "--features", "flux,rms", "--rate", "22050", "--mono", files[0])[0]
        assert set(some["results"]["features"]) == {"rms", "spectral_flux"} and some["params"]["sample_rate"] == 22050
        assert some["results"]["spectral_centroid_hz"] is None and some["results"]["frames"] == 1 + 132300 // 512


# What the commands of the queue refuse before they look for a scheduler.
BAD_QUEUE = [["cancel", "--dry-run", "1"], ["queue", "compact", "--dry-run"], ["submit"], ["submit", "chroma"], ["submit", "noop", "x"], ["submit", "noop", "--count", "-1"], ["submit", "noop", "--count", "1.5"],
             ["submit", "noop", "--payload", "10000000"], ["submit", "noop", "--fail", "0.6", "--crash", "0.6"], ["submit", "noop", "--fail", "nan"],
             ["submit", "noop", "--priority", "-1001"], ["submit", "noop", "--priority", "1001"], ["submit", "noop", "--priority"],
             ["submit", "noop", "--name", "n" * 65], ["submit", "noop", "--key", ""], ["submit", "noop", "--max-attempts", "0"],
             ["submit", "noop", "--start-after", "soon"], ["submit", "noop", "--start-after", "+5"], ["submit", "noop", "--deadline", "2026-13-01T00:00"],
             ["submit", "noop", "--backoff", "2h"], ["submit", "noop", "--attempt-timeout", "-1s"], ["submit", "noop", "--stall-timeout", "8d"],
             ["submit", "noop", "--device-memory", "5X"], ["submit", "noop", "--jobs", "0"], ["submit", "noop", "--device", "cpu"],
             ["submit", "analyze"], ["submit", "analyze", "--csv", "x"], ["submit", "features", "x.wav"], ["submit", "analyze", "--n-fft", "7", "x"],
             ["jobs", "--state", "sleeping"], ["jobs", "--state", ""], ["jobs", "--limit", "0"], ["jobs", "--after", "x"], ["jobs", "--kind", "k" * 65],
             ["watch"], ["watch", "x"], ["watch", "1", "2"], ["watch", "--from", "-1", "1"], ["watch", "1", "--csv"], ["logs"], ["logs", "0"],
             ["logs", "--item", "x", "1"], ["dead", "x"], ["dead", "1", "2"], ["retry"], ["retry", "x"], ["retry", "1", "x"], ["retry", "1", "-1"],
             ["pause"], ["pause", "1", "x"], ["resume", "99999999999999999999"], ["priority", "1"], ["priority", "1", "-1001"], ["priority", "1", "0.5"],
             ["priority", "x", "5"], ["priority", "-5"], ["queue"], ["queue", "burn"], ["queue", "backup"], ["queue", "fsck", "x"], ["queue", "fsck", "--csv"]]


def exit_codes() -> None:
    with Home() as h:
        for arguments in ([], ["nonsense"], ["analyze"], ["analyze", "--n-fft", "7", "x"], ["analyze", "--what"],
                          ["analyze", "--n-fft", "65537", "x"], ["features", "x.wav", "--kind", "chroma", "--out", "y"],
                          ["features", "x.wav", "--kind", "mel"], ["features", "x.wav", "--kind", "mel", "--out", "y", "--hop", "0"],
                          ["features", "a", "b", "--kind", "mel", "--out", "y.npy"], ["jobs", "7"], ["cancel"], ["cancel", "x"],
                          *BAD_QUEUE,
                          ["store"], ["store", "what"], ["doctor", "x"], ["serve", "x"], ["analyze", "--progress", "loud", "x"],
                          ["analyze", os.path.dirname(os.path.abspath(__file__))]):
            h.run(*arguments, code=2)
        h.run("jobs", code=3)
        for command in ("cancel", "pause", "resume", "retry", "watch", "logs", "dead", "show"):
            assert b"no scheduler runs" in h.run(command, "1", code=3).stderr
        h.run("priority", "1", "-5", code=3)
        assert b"wavemill serve" in h.run("submit", "noop", code=3).stderr and not h.processes(), "submit starts no scheduler"
        h.run("analyze", "--device", "toaster", AUDIO[0], code=2)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([os.path.join(journey.BIN, "wavemill"), "analyze", AUDIO[0]], stdout=full, stderr=subprocess.PIPE,
                                  env=h.environment, check=False)
            assert done.returncode == 5 and b"stdout" in done.stderr


def known_by_content() -> None:
    with Home() as h:
        one, two, three = h.path("one.wav"), h.path("two.wav"), h.path("three.wav")
        journey.write_wav(one, seed=1)
        shutil.copy(one, two)
        first = h.lines("analyze", one, two)  # equal files: computed once
        assert sorted(x["computed"]["from_store"] for x in first) == [False, True], first
        assert first[0]["results"] == first[1]["results"]
        time.sleep(0.05)
        os.rename(one, three)  # moved: known again
        moved = h.lines("analyze", three)[0]
        assert moved["computed"]["from_store"] and moved["results"] == first[0]["results"]
        journey.write_wav(two, seed=2)  # changed: computed again
        changed = h.lines("analyze", two)[0]
        assert not changed["computed"]["from_store"] and changed["results"] != first[0]["results"]
        assert not h.lines("analyze", "--force", three)[0]["computed"]["from_store"]
        assert h.lines("analyze", "--verify", three)[0]["computed"]["from_store"]
        other = h.lines("analyze", "--n-fft", "1024", three)[0]  # other parameters: another record
        assert not other["computed"]["from_store"] and other["params"]["n_fft"] == 1024


def nothing_is_read_twice() -> None:
    """The second run reads no file: the bytes that its worker reads are counted, with a store that is warm."""
    with Home() as h:
        folder = h.path("sounds")
        os.mkdir(folder)
        for i in range(20):
            journey.write_wav(os.path.join(folder, f"{i}.wav"), samples=50000, seed=i)
        with open(os.path.join(folder, "bad.wav"), "wb") as f:
            f.write(b"not audio" * 50000)
        served = h.serve()
        time.sleep(0.05)
        h.run("analyze", folder, code=1)
        (worker,) = h.processes("wavemill-worker")

        def read_bytes() -> int:
            with open(f"/proc/{worker}/io", encoding="utf-8") as f:
                return int(f.readline().split()[1])

        before = read_bytes()
        lines = h.lines("analyze", folder, code=1)
        assert sum(x["computed"]["from_store"] for x in lines if "results" in x) == 20
        assert read_bytes() - before < 50000, f"{read_bytes() - before} bytes were read"
        served.terminate()
        assert served.wait(10) == 0


def features_files() -> None:
    with Home() as h:
        folder = h.path("out")
        os.mkdir(folder)
        names = ["speech_mono_8k.wav", "rain_mono_44k.ogg"]
        files = [os.path.join(DATA, n) for n in names]
        h.run("features", *files, "--kind", "mel", "--out", folder)
        assert sorted(os.listdir(folder)) == sorted(f"{n}.mel.npy" for n in names)
        skipped = h.run("features", *files, "--kind", "mel", "--out", folder, "--skip-existing")
        assert skipped.stdout == b""
        first = np.load(os.path.join(folder, f"{names[0]}.mel.npy"))
        line = h.lines("features", files[0], "--kind", "mel", "--out", h.path("x.npy"))[0]
        assert line["results"]["shape"] == list(first.shape) and line["computed"]["from_store"]
        assert np.array_equal(first, np.load(h.path("x.npy")))
        # a large array is an object; it comes back the same
        large = [os.path.join(DATA, "music_orchestra_mono_22k.ogg"), "--kind", "logmel", "--hop", "64", "--out"]
        h.run("features", *large, h.path("a.npy"))
        h.run("features", *large, h.path("b.npy"))
        with open(h.path("a.npy"), "rb") as a, open(h.path("b.npy"), "rb") as b:
            assert a.read() == b.read()
        assert h.lines("store", "stats")[0]["objects"] == 1
        for keep in ([], ["--keep"], ["--keep"]):
            done = h.run("features", files[0], "--kind", "stft", "--out", h.path("s.npy"), *keep)
        assert b"from the store" in done.stdout
        assert not [n for n in os.listdir(folder) if n.endswith(".part")]


def store_care() -> None:
    """What is stored is exported and removed; what was removed is computed again."""
    speech, large = os.path.join(DATA, "speech_mono_8k.wav"), os.path.join(DATA, "music_orchestra_mono_22k.ogg")
    with Home() as h:
        want = h.lines("analyze", speech, large)
        arrays = {"mel": h.path("mel.npy"), "logmel": h.path("logmel.npy")}
        h.run("features", speech, "--kind", "mel", "--out", arrays["mel"])
        h.run("features", large, "--kind", "logmel", "--hop", "64", "--out", arrays["logmel"])
        h.run("features", large, "--kind", "logmel", "--out", h.path("second.npy"))
        stats = h.lines("store", "stats")[0]
        assert stats["objects"] == 1 and stats["bytes_per_audio_minute"]["mel"] > 128 * 4 * 8000 / 512 * 60 * 0.99, stats

        table, archive = h.path("all.csv"), h.path("all.npz")
        assert h.lines("store", "export", "--out", table)[0]["rows"] == 2
        with open(table, encoding="utf-8", newline="") as f:
            rows = {r["file"]: r for r in csv.DictReader(f)}
        for line in want:
            row = rows[line["input"]["blake2b"]]
            assert np.isclose(float(row["rms"]), line["results"]["rms"]) and np.isclose(float(row["duration_s"]), line["input"]["duration_s"])
            assert np.isclose(float(row["log_mel_db.mean.3"]), line["results"]["features"]["log_mel_db"]["mean"][3], rtol=1e-6)
            assert None not in row and None not in row.values()
        assert any(r["spectral_contrast_db.mean.6"] == "" for r in rows.values())  # 8 kHz has no such octave
        assert h.lines("store", "export", "--format", "npz", "--out", archive)[0]["arrays"] == 3
        with np.load(archive) as z:
            assert len(z.files) == 3
            for kind, path in arrays.items():
                expected = np.load(path)
                assert any(n.split(".")[1].startswith(kind) and np.array_equal(z[n], expected) for n in z.files), (kind, z.files)
        os.mkdir(h.path("folder"))
        h.run("store", "export", "--format", "npz", "--kind", "mel", "--out", h.path("folder"))
        with np.load(h.path("folder/wavemill.npz")) as z:
            assert [n.split(".")[1] for n in z.files] == ["mel"]

        with open(archive, "rb") as f:
            before = f.read()
        for kind, out in (("csv", table), ("npz", archive)):  # no room: the old file stays, nothing half-written does
            full = h.run("store", "export", "--format", kind, "--out", out, code=5,
                         preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                                             resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))))
            assert b"cannot write " + out.encode() + b": File too large" in full.stderr, full.stderr
        with open(archive, "rb") as f:
            assert f.read() == before
        assert not [n for n in os.listdir(h.folder) if ".part" in n]
        h.run("store", "export", "--out", h.path("nowhere/x.csv"), code=5)

        assert h.lines("store", "gc")[0]["removed_objects"] == 0
        dry = h.lines("store", "prune", "--to", "300K", "--dry-run")[0]
        real = h.lines("store", "prune", "--to", "300K")[0]
        assert {**dry, "dry_run": False} == real and real["removed_objects"] == 1 and real["left_bytes"] <= 300 << 10, (dry, real)
        assert b"removed 0 records" in h.run("store", "prune", "--older", "1h").stdout
        for seed in (1, 2):  # a file that was changed a moment ago is not known by its times
            journey.write_wav(h.path("own.wav"), seed=seed)
            time.sleep(0.05)
            h.run("analyze", h.path("own.wav"))
        unused = h.lines("store", "prune", "--unused")[0]
        assert unused["removed_records"] == 1 == unused["removed_stats"], unused
        assert h.lines("store", "prune", "--older", "0s")[0]["left_bytes"] == 0
        again = h.lines("analyze", speech)[0]
        assert not again["computed"]["from_store"]
        assert again["results"] == [x for x in want if x["input"]["path"] == speech][0]["results"]
        assert "MiB" in h.lines("doctor")[0]["findings"]["free space"]["value"]
        for bad in (["prune"], ["prune", "--to", "5X"], ["prune", "--older", "5"], ["gc", "--unused"], ["export"],
                    ["export", "--out", "x", "--format", "pickle"], ["export", "--out", "x", "--kind", "mel"]):
            h.run("store", *bad, code=2)
        h.run("analyze", "--store-limit", "much", speech, code=2)

        # a limit: the first check comes with the first commit
        h.wait_for_end()
        served = h.serve("--store-limit", "1K")
        h.run("features", speech, "--kind", "mel", "--out", arrays["mel"])
        end = time.monotonic() + 10
        while h.lines("store", "stats")[0]["record_bytes"] > 1024 and time.monotonic() < end:
            time.sleep(0.05)
        assert h.lines("store", "stats")[0]["record_bytes"] <= 1024
        served.send_signal(signal.SIGINT)
        assert served.wait(10) == 0


if __name__ == "__main__":
    journey.main([installed_and_moved, output_formats, exit_codes, known_by_content, nothing_is_read_twice, features_files,
                  store_care])
