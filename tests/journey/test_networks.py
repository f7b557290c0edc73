"""`wavemill separate` with networks: PyTorch's numbers from the command, bags, shifts, kills. The network is a small one."""
import glob
import json
import os
import shutil
import signal
import subprocess
import time

import journey
import numpy as np
from journey import DATA, Home, write_wav
from test_separate import long_song, no_parts, read_wav, stems_of

SMALL = os.path.join(DATA, "htdemucs_small", "model.safetensors")
CASE = os.path.join(DATA, "htdemucs_small", "case.npz")
STEMS = ["drums", "bass", "other", "vocals"]
FLOATS = ("--float32", "--clip-mode", "none")


def song_of_the_case(h: Home) -> tuple[str, np.ndarray]:
    case = np.load(CASE)
    path = h.path("song.wav")
    write_wav(path, rate=44100, channels=2, data=case["mix"].tobytes())
    return path, case["stems"].astype(np.float64)


def samples(folder: str, stem: str) -> np.ndarray:
    return read_wav(os.path.join(folder, stem + ".wav"))[0]


def sanitized() -> bool:
    with Home() as h, open(os.path.join(h.programs, "wavemill-compute"), "rb") as program:
        return b"__asan_init" in program.read()


def pytorchs_numbers() -> None:
    """At least 110 dB from what demucs 4.1.0 gives for the same file and weights, by a path and by a name of the library."""
    with Home() as h:
        song, stems = song_of_the_case(h)
        h.run("models", "import", SMALL, "--name", "htdemucs", "--licence", "none, random weights")
        for model, folder in ((SMALL, "model"), ("htdemucs", "htdemucs")):
            (line,) = h.lines("separate", *FLOATS, "--model", model, "--out", h.path("o"), song)
            assert list(stems_of(line)) == STEMS, line
            every = -(-44100 // len(stems))
            for i, stem in enumerate(STEMS):
                got, want = samples(h.path(f"o/{folder}/song"), stem)[::every], stems[:, i]
                snr = 10 * np.log10(np.sum(want**2) / np.sum((got - want) ** 2))
                assert snr >= 110, (stem, snr)
        # it is the default now, without a line that says otherwise
        done = h.run("separate", "--out", h.path("d"), song)
        assert b"hpss" not in done.stderr and os.path.exists(h.path("d/htdemucs/song/vocals.wav")), done.stderr
        (line,) = h.lines("separate", *FLOATS, "--two-stems", "vocals", "--out", h.path("two"), song)
        rest = sum(samples(h.path("o/htdemucs/song"), s) for s in STEMS[:3])
        assert list(stems_of(line)) == ["vocals", "no_vocals"], line
        assert np.abs(samples(h.path("two/htdemucs/song"), "no_vocals") - rest).max() < 1e-6


def bags_and_options() -> None:
    """A bag whose networks are one and the same gives that one's bits; shifts are repeated by their seed only."""
    with Home() as h:
        song, _ = song_of_the_case(h)
        bag = h.path("bag")
        os.mkdir(bag)
        for name in ("0a1b2c3d", "4e5f6a7b"):
            shutil.copy(SMALL, os.path.join(bag, name + ".safetensors"))
        with open(os.path.join(bag, "twins.yaml"), "w", encoding="utf-8") as f:
            f.write("models: ['0a1b2c3d', '4e5f6a7b']\nweights: [[1., 0., 0., 1.], [0., 1., 1., 0.]]\n")
        h.run("models", "import", bag, "--name", "twins")
        h.run("separate", *FLOATS, "--model", SMALL, "--out", h.path("o"), song)
        h.run("separate", *FLOATS, "--model", "twins", "--out", h.path("o"), song)
        for stem in STEMS:
            assert (samples(h.path("o/twins/song"), stem) == samples(h.path("o/model/song"), stem)).all(), stem
        outs = []
        for seed in ("1", "1", "2"):
            outs.append(h.path(f"s{len(outs)}"))
            h.run("separate", *FLOATS, "--model", SMALL, "--shifts", "2", "--seed", seed, "--stems", "bass", "--out", outs[-1], song)
        first, again, other = (samples(os.path.join(o, "model/song"), "bass") for o in outs)
        assert (first == again).all() and not (first == other).all()
        assert sorted(os.listdir(os.path.join(outs[0], "model/song"))) == ["bass.wav"]
        h.run("separate", "--model", SMALL, "--shifts", "2", song, code=2)
        done = h.run("separate", "--model", SMALL, "--stems", "drums,guitar", song, code=2)
        assert b"guitar" in done.stderr and b"vocals" in done.stderr, done.stderr
        done = h.run("separate", "--model", SMALL, "--segment", "99", "--out", h.path("x"), song, code=1)
        assert b"segment" in done.stderr + done.stdout, done


def signals_of_all_kinds() -> None:
    """What a network is not made for is finite all the same: silence, a constant, one channel, other rates, 0.01 s."""
    with Home() as h:
        cases = {"silent": dict(data=bytes(88200)), "constant": dict(data=np.full(44100, 9000, np.int16).tobytes()),
                 "short": dict(samples=441), "single": dict(samples=1), "slow": dict(samples=8000, rate=8000),
                 "eight": dict(samples=20000, rate=44100, channels=8)}
        paths = []
        for name, how in cases.items():
            paths.append(h.path(name + ".wav"))
            write_wav(paths[-1], **{"rate": 44100, **how})
        lines = h.lines("separate", *FLOATS, "--model", SMALL, "--out", h.path("o"), *paths)
        assert len(lines) == len(paths) and all("results" in line for line in lines), lines
        for name in cases:
            for stem in STEMS:
                assert np.isfinite(samples(h.path(f"o/model/{name}"), stem)).all(), name
        no_parts(h.path("o"))


def packed_clips() -> None:
    """One-shots that share segments: repeatable, near by the figure that is printed, and what cannot be packed goes the exact way."""
    with Home() as h:
        rng = np.random.default_rng(3)
        clips = [h.path(f"clip{i}.wav") for i in range(8)]
        for i, path in enumerate(clips):  # half a segment is 0.3 s
            n = 4410 + 800 * i
            write_wav(path, rate=44100, channels=1 + i % 2,
                      data=(rng.normal(size=n * (1 + i % 2)) * 4000 * np.exp(-np.arange(n * (1 + i % 2)) / 4000)).astype("<i2").tobytes())
        song, _ = song_of_the_case(h)
        write_wav(h.path("nan.wav"), rate=44100, bits=32, data=np.full(2000, np.nan, np.float32).tobytes())
        with open(h.path("noise.wav"), "wb") as f:
            f.write(b"no audio at all" * 50)
        others = [song, h.path("nan.wav"), h.path("noise.wav"), h.path("gone.wav")]
        command = ("separate", *FLOATS, "--model", SMALL)
        h.run(*command, "--out", h.path("exact"), *clips, song)
        done = h.run(*command, "--json", "--pack", "--out", h.path("a"), *clips[:3], *others, *clips[3:], code=1)
        assert b"8 of 12 files packed into" in done.stderr, done.stderr
        lines = {os.path.basename(line["input"]["path"]): line for line in map(json.loads, done.stdout.splitlines())}
        assert len(lines) == 12 and {n for n, line in lines.items() if "error" in line} == {"nan.wav", "noise.wav", "gone.wav"}, lines
        assert lines["nan.wav"]["error"]["class"] == "INPUT", lines["nan.wav"]
        for stem in STEMS:  # the song was too long: as ever
            assert (samples(h.path("a/model/song"), stem) == samples(h.path("exact/model/song"), stem)).all(), stem
        no_parts(h.path("a"))
        assert sorted(os.listdir(h.path("a/model"))) == sorted(os.listdir(h.path("exact/model"))), os.listdir(h.path("a/model"))
        # the same list, the same bytes, with the check too, which says how near they are
        done = h.run(*command, "--json", "--pack-check", "--out", h.path("b"), *clips[:3], *others, *clips[3:], code=1)
        assert b"SNR against the exact way, over 32 stems" in done.stderr, done.stderr
        checked = {os.path.basename(line["input"]["path"]): line for line in map(json.loads, done.stdout.splitlines())}
        for path in clips:
            name = os.path.basename(path)[:-4]
            told = {s["name"]: s["snr_db"] for s in checked[name + ".wav"]["results"]["stems"]}
            for stem in STEMS:
                got, want = samples(h.path(f"b/model/{name}"), stem), samples(h.path(f"exact/model/{name}"), stem)
                assert (got == samples(h.path(f"a/model/{name}"), stem)).all(), (name, stem)
                assert got.shape == want.shape and (got != want).any(), (name, stem)
                snr = 10 * np.log10(np.sum(want**2) / np.sum((got - want) ** 2))
                assert abs(snr - told[stem]) < 0.01, (name, stem, snr, told)
        # alone in its segment nothing is approximate
        done = h.run(*command, "--pack-check", "--out", h.path("c"), clips[4])
        got, want = samples(h.path("c/model/clip4"), "bass"), samples(h.path("exact/model/clip4"), "bass")
        assert 10 * np.log10(np.sum(want**2) / np.sum((got - want) ** 2) ) >= 110, done.stderr
        for options in (("--overlap", "0.5"), ("--segment", "0.2"), ("--shifts", "1", "--seed", "1"), ("--quality", "fast")):
            h.run(*command, "--pack", *options, clips[0], code=2)
        assert b"for networks" in h.run("separate", "--model", "hpss", "--pack", clips[0], code=2).stderr
        # a folder that cannot be made: the reason, for each
        with open(h.path("file"), "wb"):
            pass
        done = h.run(*command, "--pack", "--out", h.path("file"), *clips[:2], code=1)
        assert b"1 of 1 packs could not be made" in done.stderr and done.stderr.count(b"failed:") == 2, done.stderr


def on_a_device() -> None:
    """The same files from the GPU's code, to 110 dB. Its emulator takes ten seconds, with sanitizers minutes: there it is left out."""
    if sanitized():
        return
    with Home() as h:
        song, _ = song_of_the_case(h)
        command = ("separate", *FLOATS, "--model", SMALL)
        h.run(*command, "--out", h.path("cpu"), song)
        (line,) = h.lines(*command, "--device", "emulated", "--out", h.path("there"), song)
        assert line["computed"]["backend"] == "emulated" and line["computed"]["on_device"] == "htdemucs/fp32", line["computed"]
        for stem in STEMS:
            want, got = samples(h.path("cpu/model/song"), stem), samples(h.path("there/model/song"), stem)
            assert (got != want).any() and 10 * np.log10(np.sum(want**2) / np.sum((got - want) ** 2)) >= 110, stem
        assert b"fp32, tf32 and bf16" in h.run(*command, "--precision", "fp16", song, code=2).stderr
        assert b"nor a precision" in h.run("separate", "--model", "hpss", "--precision", "tf32", song, code=2).stderr


def without_memory_on_the_device() -> None:
    """From the processor, in its own precision, and the result says so."""
    folders = []
    with Home() as h, Home() as other:
        for home, options in ((h, ("--device", "emulated", "--gpu-mem-limit", "8M", "--precision", "tf32")), (other, ("--device", "cpu"))):
            song, _ = song_of_the_case(home)
            (line,) = home.lines("separate", *FLOATS, "--model", SMALL, *options, "--out", home.path("o"), song)
            assert line["computed"]["backend"] == "cpu" and "on_device" not in line["computed"], line["computed"]
            folders.append(home.path("o/model/song"))
        for stem in STEMS:
            assert (samples(folders[0], stem) == samples(folders[1], stem)).all(), stem


def stopped_in_the_middle(stop) -> None:
    """The next attempt goes on at a segment that was finished, and the bytes are the same."""
    with Home() as h:
        song = long_song(h.path("song.wav"), 60)
        h.run("separate", "--model", SMALL, "--out", h.path("whole"), song)
        process = h.start("separate", "--json", "--model", SMALL, "--out", h.path("o"), song)
        spool, wanted = "", 60 * 44100 * 2 * 4 * 2  # the mixture, and a quarter of the stems
        while not spool or os.path.getsize(spool) < wanted:
            assert process.poll() is None, "it was over before"
            spool = next(iter(glob.glob(h.path("o/model/song/.wavemill-*"))), "")
            time.sleep(0.02)
        time.sleep(0.3)
        stop(h)
        text, _ = process.communicate(timeout=300)
        (line,) = [journey.check_line(x) for x in text.splitlines()]
        assert line["results"]["resumed_from"] and 0 < line["results"]["resumed_from"] < 1, line
        for stem in STEMS:
            subprocess.run(["cmp", h.path(f"whole/model/song/{stem}.wav"), h.path(f"o/model/song/{stem}.wav")], check=True)
        no_parts(h.path("o"))


def killed_in_the_middle() -> None:
    def kill(h: Home) -> None:
        (pid,) = h.processes("wavemill-compute")
        os.kill(int(pid), signal.SIGKILL)

    stopped_in_the_middle(kill)


def paused_in_the_middle() -> None:
    def pause(h: Home) -> None:
        (job,) = h.lines("jobs", "--kind", "separate", "--state", "running")
        h.run("pause", str(job["job"]))
        end = time.monotonic() + 60
        while h.lines("show", str(job["job"]))[0]["items"]["leased"]:
            assert time.monotonic() < end, "it goes on"
            time.sleep(0.02)
        h.run("resume", str(job["job"]))

    stopped_in_the_middle(pause)


if __name__ == "__main__":
    journey.main([pytorchs_numbers, bags_and_options, signals_of_all_kinds, packed_clips, on_a_device, without_memory_on_the_device, killed_in_the_middle,
                  paused_in_the_middle])
