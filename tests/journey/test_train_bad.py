"""What goes wrong before and while a model is trained: sounds that are odd, few, long, broken or gone, a disk that is full or may not be
written, memory, states that are not its own, losses that are not finite, names. Whoever is to blame is named, and the rest goes on."""
import contextlib
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import struct
import threading
import time

import journey
from journey import DATA, Home, write_wav

FAST = ("--steps", "20", "--batch", "4", "--validate", "10", "--no-changes", "--previews", "1", "--seed", "7", "--preset", "tiny")
STATE = 5 * 283792 * 4  # bytes of a state of preset tiny, at least


def tone(path: str, number: int = 0, seconds: float = 0.4, rate: int = 22050, channels: int = 1) -> None:
    n = int(seconds * rate)
    wave = [int(12000 * math.exp(-3 * k / n) * math.sin(2 * math.pi * 70 * (number + 1) * k / rate)) for k in range(n)]
    write_wav(path, rate=rate, channels=channels, data=struct.pack(f"<{n * channels}h", *(w for w in wave for _ in range(channels))))


def floats(path: str, values: list[float]) -> None:
    write_wav(path, bits=32, data=struct.pack(f"<{len(values)}f", *values))


def tones(h: Home, name: str = "tones", count: int = 6) -> None:
    os.makedirs(h.path(name))
    for i in range(count):
        tone(h.path(f"{name}/{i}.wav"), i)
    h.run("dataset", "create", name, h.path(name))


def file(h: Home, *parts: str) -> str:
    return os.path.join(h.home, *parts)


def bytes_of(path: str) -> bytes:
    with open(path, "rb") as f:
        return f.read()


def model(h: Home, name: str) -> bytes:
    return bytes_of(file(h, "models", name, "model.safetensors"))


def begin(h: Home, name: str, dataset: str = "tones", **settings) -> None:
    """As if that had been begun and interrupted before its first state."""
    os.makedirs(file(h, "models", name))
    with open(file(h, "models", name, "begun.json"), "w", encoding="utf-8") as f:
        json.dump({"schema": 1, "dataset": dataset, "preset": "tiny", "seed": "7", "no_changes": True, "steps": 20, "batch": 4,
                   "validate_steps": 10, "previews": 1, **settings}, f)


@contextlib.contextmanager
def served(*options: str, bytes_most: int = 0):
    """A home with a scheduler; bytes_most: no process of it writes a file that is longer, as on a disk that is full."""
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_most, bytes_most))

    with Home() as h:  # Python ignores SIGXFSZ, and so do they
        running = h.serve(*options, **(dict(restore_signals=False, preexec_fn=limit) if bytes_most else {}))
        h.limit = running
        try:
            yield h
        finally:
            running.terminate()
            running.communicate()


def few_short_and_mixed() -> None:
    with served() as h:
        # One sound: it serves for both, and both commands say what comes of that.
        tone(h.path("one.wav"))
        assert b"only 1 sound" in h.run("dataset", "create", "one", h.path("one.wav")).stderr
        done = h.run("train", "one", "--name", "one", *FAST)
        assert b"fewer than 5 sounds" in done.stderr and b"20 steps" in done.stdout, done
        # Many that are shorter than an example, of 50 ms, one sample among them.
        os.makedirs(h.path("shots"))
        for i in range(499):
            write_wav(h.path(f"shots/{i}.wav"), rate=44100, data=struct.pack("<2205h", *([(i + 1) * 40, -i] * 1102 + [i])))
        write_wav(h.path("shots/click.wav"), rate=44100, data=b"\1\2")
        h.run("dataset", "create", "shots", h.path("shots"))
        result = h.lines("train", "shots", "--name", "shots", *FAST)[-1]["results"]
        assert result["steps"] == 20 and 0 < result["validation_loss"] < 100, result
        # Rates and channels as they come: said, and changed to one.
        os.makedirs(h.path("mixed"))
        for i, (rate, channels) in enumerate([(8000, 1), (96000, 2), (44100, 6), (11025, 2), (22050, 1), (192000, 1)]):
            tone(h.path(f"mixed/{i}.wav"), i, 0.3, rate, channels)
        said = h.run("dataset", "create", "mixed", h.path("mixed")).stderr
        assert b"sample rates differ" in said and b"channels differ" in said, said
        result = h.lines("train", "mixed", "--name", "mixed", *FAST)[-1]["results"]
        assert result["steps"] == 20 and 0 < result["validation_loss"] < 100, result


def broken_files() -> None:
    with served() as h:
        os.makedirs(h.path("bad/folder.wav"))
        for i in range(5):
            tone(h.path(f"bad/{i}.wav"), i)
        with open(os.path.join(DATA, "music_stereo_44k.flac"), "rb") as f:
            flac = f.read()
        for name, data in (("empty.wav", b""), ("text.wav", b"text, no sound " * 50), ("cut.flac", flac[:3000]), ("half.flac", flac[:len(flac) // 2])):
            with open(h.path("bad/" + name), "wb") as f:
                f.write(data)
        write_wav(h.path("bad/nothing.wav"), data=b"")
        for name, value in (("nan", math.nan), ("inf", -math.inf)):
            floats(h.path(f"bad/{name}.wav"), [0.1] * 77 + [value] + [0.1] * 4000)
        floats(h.path("bad/huge.wav"), [1e30 * math.sin(k) for k in range(4000)])  # finite, though its power is not
        os.mkfifo(h.path("bad/fifo.wav"))
        os.symlink("nowhere", h.path("bad/dangling.wav"))
        os.symlink("0.wav", h.path("bad/link.wav"))
        lines = h.lines("dataset", "create", "bad", h.path("bad"), code=1)
        bad = {os.path.basename(x["input"]["path"]): x["error"]["message"] for x in lines if "error" in x}
        for name, why in (("empty.wav", "empty"), ("text.wav", "not recognised"), ("cut.flac", "truncated"), ("half.flac", "truncated"),
                          ("nothing.wav", "no samples"), ("nan.wav", "the first is sample 77"), ("inf.wav", "the first is sample 77"),
                          ("fifo.wav", "FIFO"), ("dangling.wav", "No such file")):
            assert why in bad.pop(name), (name, why)
        assert not bad and lines[-1]["results"]["files"] == 6 and lines[-1]["results"]["rejected"] == 9, (bad, lines[-1])
        result = h.lines("train", "bad", "--name", "bad", *FAST)[-1]["results"]
        assert result["bad_steps"] == 0 and math.isfinite(result["validation_loss"]), result
        # Of these alone nothing can be made, and nothing is.
        done = h.run("dataset", "create", "none", h.path("bad/empty.wav"), h.path("bad/text.wav"), h.path("bad/nan.wav"), code=1)
        assert b"none of the 3 files can be used; nothing was created" in done.stderr, done.stderr
        assert b"there is no dataset 'none'" in h.run("train", "none", code=2).stderr


def most_memory(h: Home, program: str, seen: list[int], stop: threading.Event) -> None:
    """Bytes of its own that a program has had, without files that it looks into."""
    while not stop.wait(0.02):
        for pid in h.processes(program):
            with contextlib.suppress(OSError, StopIteration), open(f"/proc/{pid}/status", encoding="utf-8") as f:
                seen.append(1024 * int(next(line for line in f if line.startswith("RssAnon")).split()[1]))


def one_that_is_long() -> None:
    """Half an hour, silent at first: 159 MB as training reads them, in memory that has no room for them."""
    with served("--memory-limit", "128") as h:
        seconds, noise = 1800, random.Random(5).randbytes(400000)
        with open(h.path("long.wav"), "wb") as f:  # 8 bits at 1 kHz
            n = seconds * 1000
            f.write(b"RIFF" + struct.pack("<I", 36 + n) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 1000, 1000, 1, 8) +
                    b"data" + struct.pack("<I", n) + b"\x80" * (n - len(noise)) + noise)
        h.run("dataset", "create", "long", h.path("long.wav"))
        seen, stop = [], threading.Event()
        watch = threading.Thread(target=most_memory, args=(h, "wavemill-compute", seen, stop))
        watch.start()
        try:
            result = h.lines("train", "long", "--name", "long", *FAST)[-1]["results"]
        finally:
            stop.set()
            watch.join()
        assert os.path.getsize(file(h, "datasets/long/packs/22050.pack")) > 4 * 22050 * seconds
        assert seen and max(seen) < 80e6, max(seen)
        assert result["steps"] == 20 and result["validation_loss"] < 10, result  # measured as silence it would be hundreds
        with open(file(h, "models/long/config.json"), encoding="utf-8") as f:
            audio = json.load(f)["audio"]
        assert audio["deviation_db"] > 5, audio


def losses_that_are_not_finite() -> None:
    with served() as h:
        tones(h)
        begin(h, "wild", beta=1e300)  # more than the command takes
        done = h.run("train", "tones", "--name", "wild", "--resume", code=1)
        for said in (b"back to step 0, at 0.5 times", b"at 0.25 times", b"at 0.125 times", b"for the 4th time: the rate is too high"):
            assert done.stderr.count(said) == 1, (said, done.stderr)
        assert not done.stdout and "model.safetensors" not in os.listdir(file(h, "models/wild")), done.stdout
        assert b"for the 4th time" in h.run("train", "tones", "--name", "wild", "--resume", code=1).stderr  # it remembers
        h.run("models", "remove", "wild")
        for rate in ("1.5", "-1", "inf", "1e-10"):
            assert b"--rate" in h.run("train", "tones", "--rate", rate, code=2).stderr, rate


def too_little_memory() -> None:
    with served("--memory-limit", "64") as h:
        tones(h)
        done = h.run("train", "tones", "--name", "big", *FAST[:-1], "small", code=1)
        assert b"MiB are wanted" in done.stderr and b"--batch" in done.stderr and b"--memory-limit" in done.stderr, done.stderr
        assert b"MiB are wanted" in h.run("train", "tones", "--name", "big", "--resume", code=1).stderr
    assert b"64" in Home().run("train", "x", "--memory-limit", "63", code=2).stderr


def wait_for_line(running, text: bytes) -> bytes:
    said, end = b"", time.monotonic() + 60
    while text not in said:
        line = running.stderr.readline()
        if not line or time.monotonic() > end:
            running.kill()
            raise AssertionError(said[-2000:])
        said += line
    return said


def interrupt(running) -> bytes:
    running.send_signal(signal.SIGINT)
    out, said = running.communicate(timeout=60)
    assert running.returncode == 130 and not out, (running.returncode, said)
    return said


def a_disk_that_is_full() -> None:
    # Which of the states has no room: one that is there already is gone on from.
    for most, kept in ((int(1.5 * STATE), True), (STATE // 2, False)):
        with served(bytes_most=most) as h:
            tones(h)
            running = h.start("train", "tones", "--name", "m", *FAST[2:], "--steps", "1000000", "--patience", "1000000")
            said = wait_for_line(running, b"cannot be kept")
            assert STATE <= int(re.search(rb"a state of (\d+) bytes cannot be kept: File too large", said)[1]) < STATE + 1e6, said
            for pid in [str(running.pid), *h.processes()]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            running.communicate()
            assert not h.wait_for_end()
            running = h.start("train", "tones", "--name", "m", "--resume")  # a scheduler that has room
            said = wait_for_line(running, b"step ")
            assert (b"begun anew: states" in said) != kept, said
            interrupt(running)
    # No room for the model: nothing has its name, and nothing is lost but time.
    with served(bytes_most=1000000) as h:
        tones(h)
        done = h.run("train", "tones", "--name", "m", *FAST, code=1)
        assert b"cannot write the model: File too large" in done.stderr, done.stderr
        assert not [n for n in os.listdir(file(h, "models/m")) if n.startswith("model.")]
        h.limit.terminate()
        assert not h.wait_for_end()
        h.run("train", "tones", "--name", "m", "--resume")
        h.run("train", "tones", "--name", "whole", *FAST)
        assert model(h, "m") == model(h, "whole")


def states_of_others() -> None:
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)

    def crc32c(data: bytes) -> int:
        crc = 0xFFFFFFFF
        for byte in data:
            crc = table[(crc ^ byte) & 255] ^ crc >> 8
        return crc ^ 0xFFFFFFFF

    def newest(data: bytes) -> tuple[int, int, int]:
        """Header, place and length (workers/slots.h)."""
        number, at, size, header = max((*struct.unpack_from("<QQQ", data, 8 + 64 * i), 64 * i) for i in range(2))
        assert number
        return header, at, size

    def of_another_version(data: bytes) -> bytes:
        """Whole by all checksums but its own version."""
        header, at, size = newest(data)
        state = bytearray(data[at:at + size])
        struct.pack_into("<I", state, 8, 99)
        head = bytearray(data[header:header + 60])
        struct.pack_into("<I", head, 32, crc32c(state))
        changed = bytearray(128) + data[128:at] + state
        changed[header:header + 64] = head + struct.pack("<I", crc32c(head))
        return bytes(changed)

    def altered(data: bytes) -> bytes:
        header, at, size = newest(data)
        changed = bytearray(data)
        changed[:128] = bytes(128)
        changed[header:header + 64] = data[header:header + 64]
        changed[at + size // 2] ^= 1
        return bytes(changed)

    with served() as h:
        tones(h)
        for name, seed in (("a", "3"), ("b", "4")):
            running = h.start("train", "tones", "--name", name, *FAST[2:-4], "--preset", "tiny", "--seed", seed, "--steps", "1000000")
            wait_for_line(running, b"step")
            interrupt(running)
        kept, place = bytes_of(file(h, "models/a/states")), file(h, "models/a/states")
        shutil.copy(file(h, "models/b/states"), place)
        done = h.run("train", "tones", "--name", "a", "--resume", code=1)
        assert b"of other settings" in done.stderr and not done.stdout, done.stderr
        assert bytes_of(place) == bytes_of(file(h, "models/b/states"))  # somebody may look for them
        with open(file(h, "models/a/begun.json"), encoding="utf-8") as f:
            begun = json.load(f)
        for what, data, said in (("another version's", of_another_version(kept), b"begun anew: a checkpoint of version 99"),
                                 ("altered", altered(kept), b"begun anew: states"), ("none", kept[:50], b"begun anew: states"),
                                 ("text", b"text " * 2000, b"begun anew: states"), ("empty", b"", b"step")):
            name = "of-" + what.split("'")[0].replace(" ", "-")
            os.makedirs(file(h, "models", name))
            with open(file(h, "models", name, "begun.json"), "w", encoding="utf-8") as f:
                json.dump({**begun, "steps": 20}, f)
            with open(file(h, "models", name, "states"), "wb") as f:
                f.write(data)
            done = h.run("train", "tones", "--name", name, "--resume")
            assert said in done.stderr and b"20 steps" in done.stdout, (what, done)
            assert (b"begun anew" in done.stderr) == (what != "empty"), (what, done.stderr)


def sounds_that_are_gone() -> None:
    with served() as h:
        tones(h)
        h.run("dataset", "create", "named", h.path("tones"), "--reference")
        names = [h.path(f"tones/{i}.wav") for i in range(6)]
        for name in names[:2]:
            os.remove(name)
        tone(names[2], 40)  # another sound by the same name
        done = h.run("train", "named", "--name", "rest", *FAST)
        assert done.stderr.count(b"left out") == 3 and b"20 steps" in done.stdout, done
        for name, why in zip(names[:3], (b"No such file", b"No such file", b"not those that the dataset has")):
            line, = [x for x in done.stderr.splitlines() if b"left out: " + os.path.basename(name).encode() in x]
            assert why in line, line
        assert b"fewer than 5 sounds" in done.stderr, done.stderr
        shutil.rmtree(h.path("tones"))
        shutil.rmtree(file(h, "datasets/named/packs"))
        done = h.run("train", "named", "--name", "nothing", *FAST, code=1)
        assert done.stderr.count(b"left out") == 6 and b"none of 6 files can be learned from" in done.stderr, done.stderr
        assert not os.path.exists(file(h, "models/nothing"))
        # Copies are where the home is; a dataset whose folder has another name is none.
        os.rename(file(h, "datasets/tones"), file(h, "datasets/other"))
        assert b"it is that of 'tones'" in h.run("train", "other", code=1).stderr
        os.rename(file(h, "datasets/other"), file(h, "datasets/tones"))
    with Home() as h:
        tones(h)
        assert not h.wait_for_end()
        os.rename(h.home, h.path("elsewhere"))
        h.home = h.environment["WAVEMILL_HOME"] = h.path("elsewhere")
        h.run("dataset", "check", "tones")
        assert b"20 steps" in h.run("train", "tones", "--name", "m", *FAST).stdout


def interrupted_and_the_same() -> None:
    settings = (*FAST[2:], "--steps", "600")
    with served() as h:
        tones(h)
        h.run("train", "tones", "--name", "whole", *settings)
        running = h.start("train", "tones", "--name", "m", *settings)
        wait_for_line(running, b"step")
        assert b"--resume goes on" in interrupt(running)
        assert os.path.getsize(file(h, "models/m/states")) > STATE
        h.run("train", "tones", "--name", "m", "--resume")
        assert model(h, "m") == model(h, "whole")
        began = time.monotonic()
        done = h.run("train", "tones", "--name", "m", "--resume")
        assert b"m is finished" in done.stderr and not done.stdout, done
        assert time.monotonic() - began < 30  # it begins nothing


def a_home_that_may_not_be_written() -> None:
    nobody = dict(user=65534, group=65534, extra_groups=[]) if os.getuid() == 0 else {}
    with Home() as h:
        tones(h)
        assert not h.wait_for_end()
        everything = [os.path.join(at, n) for at, folders, files in os.walk(h.home) for n in folders + files] + [h.home]
        for path in everything:
            os.chmod(path, 0o555)
        before = sorted(everything)
        try:
            for arguments in (("dataset", "create", "new", h.path("tones")), ("train", "tones", "--name", "m", *FAST)):
                done = h.run(*arguments, code=None, **nobody)
                assert done.returncode in (1, 3, 5) and not done.stdout, (arguments, done)
                assert h.home.encode() in done.stderr and b"ermission denied" in done.stderr, (arguments, done.stderr)
            assert sorted([os.path.join(at, n) for at, folders, files in os.walk(h.home) for n in folders + files] + [h.home]) == before
        finally:
            for path in everything:
                os.chmod(path, 0o755)


def names_that_are_none() -> None:
    with Home() as h:
        tones(h)
        for name in ("a/b", "/a", "..", "../x", ".x", "a b", "\u00fc", "\udcff", "", "x" * 64, "a\n"):
            for arguments in (("train", "tones", "--name=" + name), ("train", name, "--name=m"), ("dataset", "create", name, h.path("tones"))):
                if "x" * 64 == name and arguments[0] == "dataset":
                    continue  # a dataset's may have 64
                done = h.run(*arguments, code=2)
                assert b"letters, digits" in done.stderr or b"no dataset" in done.stderr, (arguments, done.stderr)
        assert not os.path.exists(file(h, "models")) and os.listdir(file(h, "datasets")) == [".lock", "tones"]
        longest = "x" * 63
        h.run("train", "tones", "--name", longest, *FAST)
        assert model(h, longest)


if __name__ == "__main__":
    journey.main([few_short_and_mixed, broken_files, one_that_is_long, losses_that_are_not_finite, too_little_memory, a_disk_that_is_full,
                  states_of_others, sounds_that_are_gone, interrupted_and_the_same, a_home_that_may_not_be_written, names_that_are_none])
