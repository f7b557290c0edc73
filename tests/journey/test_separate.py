"""`wavemill separate` on real audio: what is written where, what is refused, and what is left after faults."""
import csv
import glob
import io
import json
import math
import os
import signal
import struct
import subprocess
import time

import journey
import numpy as np
from journey import DATA, Home, write_wav

DRUMS = os.path.join(DATA, "drums_tabla_stereo_44k.flac")
MUSIC = os.path.join(DATA, "music_stereo_44k.mp3")
HPSS = ["harmonic", "percussive", "residual"]


def read_wav(path: str) -> tuple[np.ndarray, int]:
    """Samples [frames, channels] in full scale 1, and the rate, of a WAV with 16, 24 or 32 (float) bits."""
    with open(path, "rb") as f:
        data = f.read()
    assert data[:4] == b"RIFF" and data[8:12] == b"WAVE" and struct.unpack("<I", data[4:8])[0] == len(data) - 8, path
    at, kind, channels, rate, bits = 12, 0, 0, 0, 0
    while data[at:at + 4] != b"data":
        if data[at:at + 4] == b"fmt ":
            kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", data[at + 8:at + 24])
        at += 8 + struct.unpack("<I", data[at + 4:at + 8])[0]
    samples = data[at + 8:at + 8 + struct.unpack("<I", data[at + 4:at + 8])[0]]
    if bits == 32:
        assert kind == 3 or data[44:46] == b"\3\0", kind
        x = np.frombuffer(samples, "<f4").astype(np.float64)
    elif bits == 16:
        x = np.frombuffer(samples, "<i2") / 32768
    else:
        raw = np.frombuffer(samples, np.uint8).reshape(-1, 3).astype(np.int32)
        x = ((raw[:, 0] << 8 | raw[:, 1] << 16 | raw[:, 2] << 24) >> 8) / 8388608
    return x.reshape(-1, channels), rate


def no_parts(folder: str) -> None:
    left = [p for p in glob.glob(os.path.join(folder, "**", ".*"), recursive=True)]
    assert not left, left


def stems_of(line: dict) -> dict[str, dict]:
    return {s["name"]: s for s in line["results"]["stems"]}


def stems_stand_where_demucs_puts_them() -> None:
    """OUT/MODEL/TRACK/STEM.wav; the default is hpss, with a line that says why; and the stems sum to the song."""
    with Home() as h:
        done = h.run("separate", DRUMS, MUSIC, cwd=h.folder)
        assert done.stderr.count(b"\n") >= 1 and b"wavemill models fetch htdemucs" in done.stderr, done.stderr
        found = sorted(os.path.relpath(p, h.folder) for p in glob.glob(h.path("separated/*/*/*")))
        assert found == sorted(f"separated/hpss/{t}/{s}.wav" for t in ("drums_tabla_stereo_44k", "music_stereo_44k") for s in HPSS)
        no_parts(h.path("separated"))
        out = h.path("floats")
        (line,) = h.lines("separate", "--quiet", "--model", "hpss", "--out", out, "--float32", "--clip-mode", "none", DRUMS)
        assert h.run("separate", "--quiet", "--model", "hpss", "--out", out, "--float32", "--dry-run", DRUMS).stdout.count(b"->") == 3
        total = sum(read_wav(os.path.join(out, "hpss", "drums_tabla_stereo_44k", s + ".wav"))[0] for s in HPSS)
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", DRUMS, h.path("song.wav")], check=True)
        song, rate = read_wav(h.path("song.wav"))
        assert rate == 44100 == line["results"]["sample_rate"] and total.shape == song.shape == (470723, 2)
        assert np.abs(total - song).max() < 1e-6, np.abs(total - song).max()  # roundings of floats
        assert line["results"]["residual_rms"] < 1e-7 and line["results"]["resumed_from"] is None
        for name, stem in stems_of(line).items():
            x, _ = read_wav(stem["path"])
            assert stem["path"] == os.path.join(out, "hpss", "drums_tabla_stereo_44k", name + ".wav")
            assert abs(np.abs(x).max() - stem["peak"]) < 1e-6 and abs(math.sqrt((x * x).mean()) - stem["rms"]) < 1e-7
            of_song = (x * song).sum() ** 2 / (song * song).sum()
            assert abs(10 * math.log10(of_song / ((x * x).sum() - of_song)) - stem["si_sdr_db"]) < 1e-3, stem
            assert stem["verdict"] == "ok"


def the_same_again() -> None:
    """The same bytes for the same file, whatever its neighbours; --skip-existing leaves them alone."""
    with Home() as h:
        a, b = h.path("a"), h.path("b")
        h.run("separate", "--model", "center", "--out", a, DRUMS)
        h.run("separate", "--model", "center", "--out", b, "--threads", "2", MUSIC, DRUMS)
        for stem in ("center", "sides"):
            path = os.path.join("center", "drums_tabla_stereo_44k", stem + ".wav")
            with open(os.path.join(a, path), "rb") as x, open(os.path.join(b, path), "rb") as y:
                assert x.read() == y.read()
        path = os.path.join(b, "center", "music_stereo_44k", "sides.wav")
        before = os.stat(path).st_mtime_ns
        assert h.lines("separate", "--model", "center", "--out", b, "--skip-existing", MUSIC, DRUMS) == []
        os.unlink(os.path.join(os.path.dirname(path), "center.wav"))
        lines = h.lines("separate", "--model", "center", "--out", b, "--skip-existing", MUSIC, DRUMS)
        assert [x["input"]["path"] for x in lines] == [MUSIC] and os.stat(path).st_mtime_ns > before
        # a folder that is walked, and has the stems of an earlier run in it
        folder = h.path("songs")
        os.mkdir(folder)
        write_wav(os.path.join(folder, "song.wav"))
        for _ in range(2):
            lines = h.lines("separate", "--model", "center", "--out", os.path.join(folder, "out"), folder)
            assert len(lines) == 1, lines


def chosen_stems_and_formats() -> None:
    with Home() as h:
        def run(*options: str) -> dict[str, dict]:
            (line,) = h.lines("separate", "--model", "hpss", "--out", h.path("o"), *options, DRUMS)
            found = stems_of(line)
            for stem in found.values():
                assert os.path.getsize(stem["path"]) > 1000
            return found

        assert list(run("--stems", "residual,harmonic")) == ["harmonic", "residual"]
        no_percussive = h.path("o/hpss/drums_tabla_stereo_44k/no_percussive.wav")
        both = run("--two-stems", "percussive", "--float32")
        assert list(both) == ["percussive", "no_percussive"] and both["no_percussive"]["path"] == no_percussive
        whole = run("--float32", "--clip-mode", "none")
        total = read_wav(whole["harmonic"]["path"])[0] + read_wav(whole["residual"]["path"])[0]
        assert np.abs(read_wav(no_percussive)[0] - total).max() < 1e-7
        for options, ending, begins in ((("--flac",), "flac", b"fLaC"), (("--flac", "--int24"), "flac", b"fLaC"), (("--ogg",), "ogg", b"OggS"),
                                        (("--mp3", "--mp3-bitrate", "128"), "mp3", b""), (("--int24",), "wav", b"RIFF")):
            for stem in run(*options, "--stems", "harmonic").values():
                assert stem["path"].endswith("harmonic." + ending)
                with open(stem["path"], "rb") as f:
                    assert f.read(4).startswith(begins)
                (line,) = h.lines("analyze", stem["path"])
                assert abs(line["results"]["rms"] - stem["rms"]) < 0.35 * stem["rms"], (options, line["results"]["rms"], stem)
        rows = list(csv.reader(io.StringIO(h.run("separate", "--csv", "--model", "hpss", "--out", h.path("o"), DRUMS, "no.wav",
                                                 code=1).stdout.decode())))
        assert len(rows) == 5 and all(len(r) == 12 for r in rows), rows
        assert [r[1] for r in rows if r[0] == DRUMS] == HPSS and [r[10] for r in rows if r[0] == "no.wav"] == ["INPUT"]


def what_is_refused() -> None:
    with Home() as h:
        same = h.path("drums_tabla_stereo_44k.wav")
        write_wav(same)
        for options, reason in (
                (("--model", "nope", DRUMS), "there is no model 'nope' here; there are hpss, center"),
                (("--model", "./x.safetensors", DRUMS), "No such file"),
                (("--model", "hpss", "--stems", "drums", DRUMS), "no stem 'drums'; there are harmonic, percussive, residual"),
                (("--model", "center", "--two-stems", "left", DRUMS), "no stem 'left'; there are center, sides"),
                (("--model", "hpss", "--stems", "harmonic", "--two-stems", "harmonic", DRUMS), "do not go together"),
                (("--model", "hpss", "--overlap", "0.5", DRUMS), "neither overlap"), (("--model", "hpss", "--segment", "7", DRUMS), "neither overlap"),
                (("--model", "hpss", "--shifts", "1", "--seed", "3", DRUMS), "neither overlap"), (("--shifts", "2", DRUMS), "needs --seed"),
                (("--seed", "2", DRUMS), "--shifts"), (("--model", "hpss", "--quality", "best", DRUMS), "for networks"),
                (("--quality", "worst", DRUMS), "fast, balanced and best"), (("--clip-mode", "hard", DRUMS), "--clip-mode"),
                (("--mp3", "--int24", DRUMS), "int24"), (("--mp3", "--ogg", DRUMS), "one of the two"), (("--mp3-bitrate", "128", DRUMS), "--mp3"),
                (("--overlap", "1", DRUMS), "--overlap"), ((), "which file"),
                (("--model", "hpss", DRUMS, same), "would both go to")):
            done = h.run("separate", "--out", h.path("o"), *options, code=2)
            assert reason in done.stderr.decode(), (options, done.stderr)
        assert not os.path.exists(h.path("o"))
        # what only the worker can see
        (line,) = h.lines("separate", "--model", "hpss", "--mp3", "--out", h.path("o"), os.path.join(DATA, "music_stereo_96k_24bit.flac"), code=1)
        assert line["error"]["class"] == "INPUT" and "96000" in line["error"]["message"], line
        with open(h.path("file"), "wb"):
            pass
        (line,) = h.lines("separate", "--model", "hpss", "--out", h.path("file"), DRUMS, code=1)
        assert line["error"]["class"] == "INPUT" and "cannot make the folder" in line["error"]["message"], line
        assert not glob.glob(h.path("o/*/*")), "an empty folder is left"


def signals_of_all_kinds() -> None:
    """Short, silent, of one channel and of eight, of 8 kHz; those that cannot be separated say so and leave nothing."""
    with Home() as h:
        write_wav(h.path("short.wav"), samples=441, rate=44100, channels=2)
        write_wav(h.path("one.wav"), samples=1, rate=44100)
        write_wav(h.path("silent.wav"), data=bytes(4 * 30000), channels=2)
        write_wav(h.path("eight.wav"), samples=3000, channels=8)
        write_wav(h.path("nan.wav"), bits=32, channels=2, data=struct.pack("<4f", 0, 0.5, math.nan, 0) * 500)
        write_wav(h.path("loud.wav"), bits=32, channels=2, data=struct.pack("<4f", 0, 3, 1e30, 0) * 500)
        write_wav(h.path("far.wav"), bits=32, channels=4, data=struct.pack("<4f", 0.1, 0.5, math.nan, 0) * 5000)
        write_wav(h.path("twice.wav"), bits=32, channels=2, data=struct.pack("<4f", 2, -2, -2, 2) * 5000)
        names = ["short", "one", "silent", "eight", "far", "twice"]
        paths = [h.path(n + ".wav") for n in names] + [os.path.join(DATA, "speech_mono_8k.wav"), os.path.join(DATA, "music_pluck_stereo_48k.m4a")]
        for model, stems in (("hpss", HPSS), ("center", ["center", "sides"])):
            out = h.path("out-" + model)
            lines = {os.path.basename(x["input"]["path"]): x for x in
                     h.lines("separate", "--model", model, "--out", out, *paths, h.path("nan.wav"), h.path("loud.wav"), h.path("gone.wav"), code=1)}
            for name, reason in (("nan.wav", "sample 1 is not a finite"), ("loud.wav", "not finite"), ("gone.wav", "No such file")):
                assert lines[name]["error"]["class"] == "INPUT" and reason in lines[name]["error"]["message"], lines[name]
                assert not os.path.exists(os.path.join(out, model, name[:-4])), name
            for path in paths:
                line = lines[os.path.basename(path)]
                for name, stem in stems_of(line).items():
                    x, rate = read_wav(stem["path"])
                    assert name in stems and rate == line["input"]["sample_rate"] and x.shape == (line["input"]["frames_decoded"], 2), path
                    assert np.isfinite(x).all()
            assert lines["eight.wav"]["warnings"] == ["8 channels: the first two were taken"]
            assert {s["verdict"] for s in stems_of(lines["silent.wav"]).values()} == {"silent"}
            assert all(s["si_sdr_db"] is None and s["peak"] == 0 for s in stems_of(lines["silent.wav"]).values())
            left, right = read_wav(os.path.join(out, model, "speech_mono_8k", stems[0] + ".wav"))[0].T
            assert (left == right).all()
            no_parts(out)
        # full scale is 1: what is above it is made smaller, cut off, or, in floats, kept by what is not demucs's way
        for mode, verdict, peak in (("rescale", "ok", 1 / 1.01), ("clamp", "clipped", 0.99), ("none", "clipped", 1)):
            (line,) = h.lines("separate", "--model", "center", "--stems", "sides", "--out", h.path("o"), "--clip-mode", mode, h.path("twice.wav"))
            stem = stems_of(line)["sides"]
            assert stem["verdict"] == verdict and stem["peak"] > 1.5, stem
            assert abs(np.abs(read_wav(stem["path"])[0]).max() - peak) < 1e-4, mode


def long_song(path: str, seconds: int) -> str:
    """Seconds of noise with beats, in stereo at 44.1 kHz."""
    noise = np.random.default_rng(1).integers(-8000, 8000, size=(44100, 2), dtype=np.int16)
    noise[:2000] *= 3
    write_wav(path, rate=44100, channels=2, data=noise.tobytes() * seconds)
    return path


def killed_and_interrupted() -> None:
    """A killed child, or worker, costs an attempt, and the stems are the same; an interrupt leaves nothing behind."""
    with Home() as h, Home() as other:
        song = long_song(h.path("song.wav"), 240)
        other.run("separate", "--model", "hpss", "--out", other.path("o"), song)
        for name in ("wavemill-compute", "wavemill-worker"):
            out = h.path("o-" + name)
            process = h.start("separate", "--model", "hpss", "--json", "--out", out, song)
            while not glob.glob(os.path.join(out, "hpss", "song", ".wavemill-*")):
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(0.1)
            hit = h.processes(name)
            for pid in hit:
                os.kill(int(pid), signal.SIGKILL)
            assert hit and not glob.glob(os.path.join(out, "hpss", "song", "*")), "it was over before"
            text, _ = process.communicate(timeout=90)
            (line,) = [journey.check_line(x) for x in text.splitlines()]
            # a child that dies with a single item it was at is to blame: that is told, and tried again
            assert "results" in line, line
            for stem in HPSS:
                subprocess.run(["cmp", os.path.join(out, "hpss", "song", stem + ".wav"), other.path(f"o/hpss/song/{stem}.wav")], check=True)
            no_parts(out)
        out = h.path("o-interrupted")
        process = h.start("separate", "--model", "hpss", "--out", out, song, start_new_session=True)
        while not glob.glob(os.path.join(out, "hpss", "song", ".wavemill-*")):
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 130
        assert not h.wait_for_end()
        assert not glob.glob(os.path.join(out, "hpss", "song", "*"))
        no_parts(out)


def nothing_waits_for_an_attempt_that_will_not_be() -> None:
    """What a crash has left goes when the item has failed for good, though the worker never came to open it."""
    with Home() as h:
        folder = h.path("o/hpss/gone")
        os.makedirs(folder)
        with open(os.path.join(folder, ".wavemill-1-0.part"), "wb") as f:
            f.write(bytes(100))
        h.run("separate", "--model", "hpss", "--out", h.path("o"), h.path("gone.wav"), code=1)
        assert not os.path.exists(folder)


def a_full_disk() -> None:
    """STEMS go to a file system of 3 MB: the reason is told, nothing is left. Mounting takes root, or user namespaces."""
    with Home() as h:
        out = h.path("small")
        os.mkdir(out)
        inside = 'mount -t tmpfs -o size=3m tmpfs "$1" || exit 99; shift; "$@"; code=$?; ls -AR "$OUT" >&2; exit $code'
        done = subprocess.run(["unshare", "-rm", "sh", "-c", inside, "sh", out, os.path.join(h.programs, "wavemill"), "separate", "--model", "hpss",
                               "--json", "--out", out, DRUMS], env={**h.environment, "OUT": out}, capture_output=True, check=False, timeout=100)
        assert done.returncode == 1, (done.returncode, done.stderr)
        (line,) = [journey.check_line(x) for x in done.stdout.splitlines()]
        assert line["error"]["class"] == "TRANSIENT" and "No space left" in line["error"]["message"], line
        left = [x for x in done.stderr.decode().split() if ".wav" in x or "part" in x]
        assert not left, left


def submitted_and_watched() -> None:
    with Home() as h:
        served = h.serve()
        try:
            job = h.lines("submit", "separate", "--model", "center", "--out", h.path("o"), MUSIC)[0]["job"]
            lines = h.lines("watch", str(job))
            assert [x["state"] for x in lines] == ["done"], lines
            assert len(os.listdir(h.path("o/center/music_stereo_44k"))) == 2
            (direct,) = h.lines("separate", "--model", "center", "--out", h.path("o"), MUSIC)
            assert lines[0]["results"] == direct["results"]
            (shown,) = json.loads(h.run("show", "--json", str(job)).stdout)["outcomes"]
            assert shown["results"] == direct["results"]
            for command in ("watch", "show"):
                text = h.run(command, str(job)).stdout.decode()
                assert h.path("o/center/music_stereo_44k/sides.wav") in text and "peak" in text, text
        finally:
            served.send_signal(signal.SIGINT)
            assert served.wait(10) == 0


if __name__ == "__main__":
    journey.main([stems_stand_where_demucs_puts_them, the_same_again, chosen_stems_and_formats, what_is_refused, signals_of_all_kinds,
                  killed_and_interrupted, nothing_waits_for_an_attempt_that_will_not_be, a_full_disk, submitted_and_watched])
