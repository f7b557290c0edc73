"""What users have on their disks: each bad file costs one line with its name, class and reason; the rest completes."""
import math
import os
import shutil
import socket
import struct
import subprocess
import threading
import time

import journey
from journey import DATA, Home, write_wav

# name, part of the reason; None: it is good enough
EXPECTED: dict[str, str | None] = {
    "good.wav": None, "one_sample.wav": None, "music.txt": None, "flac_called.wav": None, "eight_channels.wav": None,
    "trunc.wav": "truncated", "trunc.flac": "truncated", "trunc.ogg": "truncated", "trunc.mp3": "truncated",
    "trunc.aiff": "truncated", "trunc.m4a": "ffmpeg", "empty.wav": "empty", "header.wav": "no samples", "text.wav": "ot recognised",
    "zero_channels.wav": "hannel", "nan.wav": "sample 2 is not a finite", "inf.wav": "sample 2 is not a finite",
    "ten_hours.wav": "header claims", "fifo.wav": "FIFO", "socket.wav": "a socket", "dangling.wav": "No such file",
    "circle.wav": "evels of symbolic links", "missing.wav": "No such file", "new\nline\x1b[31m.wav": "empty",
    "x" * 250 + ".wav": "empty",
}


def make(folder: str) -> None:
    def at(name: str) -> str:
        return os.path.join(folder, name)

    write_wav(at("good.wav"))
    write_wav(at("music.txt"), seed=3)
    shutil.copy(os.path.join(DATA, "drums_roll_mono_44k.flac"), at("flac_called.wav"))
    write_wav(at("eight_channels.wav"), samples=3000, channels=8)
    write_wav(at("one_sample.wav"), samples=1)
    write_wav(at("trunc.wav"), samples=1000, claim=44100)
    for name, source in [("trunc.flac", "drums_tabla_stereo_44k.flac"), ("trunc.ogg", "rain_mono_44k.ogg"),
                         ("trunc.mp3", "music_stereo_44k.mp3"), ("trunc.aiff", "loop_electric_stereo_44k_24bit.aiff"),
                         ("trunc.m4a", "music_pluck_stereo_48k.m4a")]:
        with open(os.path.join(DATA, source), "rb") as f:
            data = f.read()
        with open(at(name), "wb") as f:
            f.write(data[: len(data) * 6 // 10])
    for name in ("empty.wav", "new\nline\x1b[31m.wav", "x" * 250 + ".wav"):
        open(at(name), "wb").close()
    write_wav(at("header.wav"), samples=0)
    with open(at("text.wav"), "w", encoding="utf-8") as f:
        f.write("words, words\n" * 300)
    write_wav(at("zero_channels.wav"), data=b"\0\0" * 100, channels=0)
    write_wav(at("nan.wav"), bits=32, data=struct.pack("<4f", 0, 0.5, math.nan, 0) * 500)
    write_wav(at("inf.wav"), bits=32, data=struct.pack("<4f", 0, 0.5, -math.inf, 0) * 500)
    write_wav(at("ten_hours.wav"), claim=44100 * 2 * 36000)
    os.mkfifo(at("fifo.wav"))
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(at("socket.wav"))
    os.symlink("nowhere.wav", at("dangling.wav"))
    os.symlink("circle.wav", at("circle.wav"))
    os.mkdir(at("folder.wav"))
    write_wav(os.path.join(at("folder.wav"), "inside.wav"), seed=9)
    write_wav(os.path.join(folder.encode(), b"caf\xe9.wav"), seed=4)


def one_line_each() -> None:
    with Home() as h:
        folder = h.path("bad")
        os.mkdir(folder)
        make(folder)
        arguments = ["analyze", folder, os.path.join(folder, "missing.wav"), os.path.join(folder, "music.txt")]
        for run in range(2):  # the second says the same, from memory
            lines = h.lines(*arguments, code=1)
            by_name = {os.path.basename(x["input"]["path"]): x for x in lines}
            assert len(by_name) == len(lines) == len(EXPECTED) + 2, sorted(set(EXPECTED) ^ set(by_name))
            for name, reason in EXPECTED.items():
                line = by_name[name]
                if reason is None:
                    assert "results" in line, line
                    assert run == 0 or line["computed"]["from_store"], line
                else:
                    assert line["error"]["class"] == "INPUT" and reason in line["error"]["message"], line
            latin = next(x for x in lines if "path_hex" in x["input"])
            assert bytes.fromhex(latin["input"]["path_hex"]).endswith(b"caf\xe9.wav") and "results" in latin
            assert "results" in by_name["inside.wav"]
            assert by_name["one_sample.wav"]["input"]["frames_decoded"] == 1
        table = h.run(*arguments, code=1)
        failures = [x for x in table.stderr.splitlines() if x.startswith(b"failed: ")]
        assert len(failures) == sum(r is not None for r in EXPECTED.values()), table.stderr
        assert b"\x1b" not in table.stderr and b"new?line" in table.stderr
        assert not [n for n in os.listdir(folder) if "part" in n]


def a_list_in_an_audio_file_opens_nothing() -> None:
    """ffmpeg must not follow a playlist to other files."""
    with Home() as h:
        secret, trap = h.path("secret.wav"), h.path("trap.m4a")
        write_wav(secret)
        with open(trap, "w", encoding="utf-8") as f:
            f.write(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n")
        (line,) = h.lines("analyze", trap, code=1)
        assert line["error"]["class"] == "INPUT", line


def unreadable() -> None:
    with Home() as h:
        path = h.path("locked.wav")
        write_wav(path)
        write_wav(h.path("open.wav"), seed=2)
        os.chmod(path, 0)
        options = {}
        if os.geteuid() == 0:  # root reads everything: be somebody else
            os.mkdir(h.home)
            os.chmod(h.home, 0o777)
            options = {"user": 65534, "group": 65534, "extra_groups": []}
            h.programs = shutil.copytree(journey.BIN, h.path("bin"))  # the build may lie where only root may go
        lines = h.lines("analyze", path, h.path("open.wav"), code=1, **options)
        bad = next(x for x in lines if "error" in x)
        assert bad["input"]["path"] == path and "Permission denied" in bad["error"]["message"], bad
        assert sum("results" in x for x in lines) == 1


def outputs_that_cannot_be() -> None:
    with Home() as h:
        good = h.path("good.wav")
        write_wav(good)
        os.mkdir(h.path("there"))
        for out, reason in [(h.path("nowhere/x.npy"), "No such file"), (h.path("good.wav/x.npy"), "Not a directory")]:
            (line,) = h.lines("features", good, "--kind", "rms", "--out", out, code=1)
            assert line["error"]["class"] == "INPUT" and reason in line["error"]["message"], line
        short = h.path("short.wav")
        write_wav(short, samples=500)
        (line,) = h.lines("features", short, "--kind", "stft", "--pad", "reflect", "--out", h.path("x.npy"), code=1)
        assert line["error"]["class"] == "INPUT", line
        (line,) = h.lines("features", good, "--kind", "mel", "--fmin", "4000", "--fmax", "300", "--out", h.path("x.npy"), code=1)
        assert "fmax" in line["error"]["message"], line
        (line,) = h.lines("features", good, "--kind", "mel", "--fmax", "90000", "--out", h.path("x.npy"), code=1)
        assert line["error"]["class"] == "INPUT", line
        assert sorted(os.listdir(h.folder)) == ["good.wav", "home", "short.wav", "there"], os.listdir(h.folder)
        # extremes that are answered
        for extra in (["--n-fft", "16", "--hop", "1"], ["--n-fft", "65536", "--hop", "30000"], ["--hop", "1000000"],
                      ["--n-mels", "1"], ["--n-mels", "512", "--n-fft", "256"]):
            h.run("features", short, "--kind", "mel", "--out", h.path("x.npy"), *extra)


def files_that_change() -> None:
    """One that vanishes and one that grows while they wait: a reason, or a right result; never a wrong one."""
    with Home() as h:
        folder = h.path("many")
        os.mkdir(folder)
        for i in range(60):
            write_wav(os.path.join(folder, f"{i:02d}.wav"), samples=20000, seed=i)
        last, grows = os.path.join(folder, "59.wav"), os.path.join(folder, "58.wav")
        stop = threading.Event()

        def meddle() -> None:
            while not stop.is_set():
                with open(grows, "ab") as f:
                    f.write(b"\0\0" * 100)
                time.sleep(0.001)

        thread = threading.Thread(target=meddle)
        process = h.start("analyze", "--json", folder)
        os.unlink(last)
        thread.start()
        out, _ = process.communicate(timeout=60)
        stop.set()
        thread.join()
        lines = [journey.check_line(x) for x in out.splitlines()]
        errors = [x for x in lines if "error" in x]
        assert len(lines) in (59, 60) and {x["input"]["path"] for x in errors} <= {last, grows}, errors


def nothing_leaks() -> None:
    with Home() as h:
        folder = h.path("bad")
        os.mkdir(folder)
        make(folder)
        served = h.serve()

        def descriptors() -> dict[str, int]:
            return {name: len(os.listdir(f"/proc/{pid}/fd")) for name in ("scheduler", "worker", "compute")
                    for pid in h.processes(f"wavemill-{name}")}

        for run in range(12):
            h.run("analyze", "--force", folder, code=1)
            if run == 3:
                time.sleep(0.1)
                early = descriptors()
        time.sleep(0.1)
        late = descriptors()
        assert len(late) == 3 and all(late[n] <= early[n] + 1 for n in late), (early, late)
        assert not subprocess.run(["pgrep", "-f", f"ffmpeg.*{folder}"], capture_output=True, check=False).stdout
        served.terminate()
        assert served.wait(10) == 0


if __name__ == "__main__":
    journey.main([one_line_each, a_list_in_an_audio_file_opens_nothing, unreadable, outputs_that_cannot_be, files_that_change,
                  nothing_leaks])
