"""A dataset's sounds as one file that training reads: made by the queue's workers, used again, and what goes wrong."""
import hashlib
import os
import shutil
import struct
import subprocess

import journey
import numpy as np
from journey import BIN, DATA, Home, write_wav

RUN = os.path.join(os.path.dirname(BIN), "tests", "train_pack_run")
HEADER, ENTRY = struct.Struct("<4sIIIQQ28sI"), struct.Struct("<32s64sQQIB11s")
GOOD = ["speech_mono_8k.wav", "music_pluck_stereo_48k.m4a", "drums_tabla_stereo_44k.flac", "dog_mono_44k.ogg"]


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def blake2b(path: str) -> str:
    with open(path, "rb") as f:
        return hashlib.blake2b(f.read(), digest_size=32).hexdigest()


def wish(path: str, part: int = 0, label: str = "", hashed: str | None = None) -> tuple[str, int, str, str]:
    return hashed or blake2b(path), part, label, path


def sounds(folder: str, names: list[str]) -> list[tuple]:
    """Copies, so that nothing of what is tested lies beside the test data."""
    for n in names:
        shutil.copy(os.path.join(DATA, n), folder)
    return [wish(os.path.join(folder, n), i % 2, f"l{i}/\u00e9") for i, n in enumerate(names)]


class Answer:
    def __init__(self, text: str) -> None:
        lines = [line.split(" ", 1) for line in text.splitlines()]
        self.text = text
        self.path = next((rest for word, rest in lines if word == "pack"), None)
        self.failed = next((rest for word, rest in lines if word == "failed"), None)
        self.decoded = next(int(rest) for word, rest in lines if word == "decoded")
        self.left_out = {int(rest.split(" ")[1]): rest.split(" ", 2)[2] for word, rest in lines if word == "left"}


def make(h: Home, files: list[tuple], rate: int = 16000, dataset: str = "drums", code: int = 0) -> Answer:
    lines = "".join("\t".join(map(str, f)) + "\n" for f in files)
    done = subprocess.run([RUN, h.home, dataset, str(rate)], input=lines, capture_output=True, text=True, env=h.environment,
                          check=False, timeout=120)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    answer = Answer(done.stdout)
    packs = os.path.join(h.home, "datasets", dataset, "packs")
    assert not os.path.isdir(packs) or not [n for n in os.listdir(packs) if n.startswith(".")], os.listdir(packs)
    return answer


def read_pack(path: str) -> tuple[int, list[tuple[str, int, str, np.ndarray]]]:
    """As runtime/pack.h describes it, by nobody of ours."""
    with open(path, "rb") as f:
        data = f.read()
    magic, version, rate, count, table, size, zeros, crc = HEADER.unpack_from(data)
    assert (magic, version, size, table) == (b"WMPK", 1, len(data), len(data) - count * ENTRY.size) and not any(zeros)
    assert crc == crc32c(data[:60] + data[table:])
    entries, end = [], HEADER.size
    for i in range(count):
        file, label, samples, offset, _, part, zeros = ENTRY.unpack_from(data, table + i * ENTRY.size)
        assert offset == end and not any(zeros)
        end += 4 * samples
        entries.append((file.hex(), part, label.rstrip(b"\0").decode(), np.frombuffer(data, "<f4", samples, offset)))
    assert end == table
    return rate, entries


def check_pack(h: Home, path: str, files: list[tuple], rate: int) -> None:
    """The entries are those, and their samples what `features` gives of each file."""
    got_rate, entries = read_pack(path)
    assert got_rate == rate and [e[:3] for e in entries] == [f[:3] for f in files], entries
    for (_, _, _, got), f in zip(entries, files):
        h.run("features", f[3], "--kind", "samples", "--rate", str(rate), "--out", h.path("x.npy"))
        want = np.load(h.path("x.npy"))
        assert len(want) > 1000 and np.abs(want).max() > 0.01 and got.tobytes() == want.tobytes(), f


def jobs(h: Home) -> int:
    return len([j for j in h.lines("jobs") if j["kind"] == "features" and j["name"] == "pack"])


class Served(Home):
    """A home whose scheduler runs."""

    def __enter__(self) -> "Served":
        self.server = self.serve()
        return self

    def __exit__(self, kind, *rest) -> None:
        self.server.terminate()
        self.server.communicate()
        super().__exit__(kind, *rest)


def leave_behind(h: Home) -> None:
    """What one leaves that was killed."""
    making = os.path.join(h.home, "datasets", "drums", "packs", ".making")
    os.makedirs(making)
    for left in ("0.npy", "77.npy", "pack", ".pack.abcdef.part"):
        with open(os.path.join(making, left), "wb") as f:
            f.write(b"half")


def made_and_used_again() -> None:
    with Served() as h:
        files = sounds(h.folder, GOOD)
        first = make(h, files)
        assert first.path == os.path.join(h.home, "datasets", "drums", "packs", "16000.pack") and first.decoded == len(GOOD)
        check_pack(h, first.path, files, 16000)
        made, count = os.stat(first.path), jobs(h)
        leave_behind(h)
        again = make(h, files)  # there is nothing to do: no job, and the file is left alone
        assert again.path == first.path and again.decoded == 0 and jobs(h) == count == 1
        assert os.stat(first.path).st_mtime_ns == made.st_mtime_ns and os.stat(first.path).st_ino == made.st_ino
        other = make(h, files, rate=8000)
        assert other.path.endswith("/8000.pack") and other.decoded == len(GOOD)
        check_pack(h, other.path, files, 8000)
        # the same list in another dataset: the same bytes, so the same object
        twin = make(h, files, dataset="others")
        with open(first.path, "rb") as a, open(twin.path, "rb") as b:
            assert a.read() == b.read()
        # what the files are called and where they lie is none of its business
        moved = h.path("moved.wav")
        os.rename(files[0][3], moved)
        assert make(h, [files[0][:3] + (moved,)] + files[1:]).decoded == 0 and jobs(h) == 3


def what_is_there_is_not_decoded_again() -> None:
    with Served() as h:
        files = sounds(h.folder, GOOD)
        make(h, files[:2])
        more = make(h, files)
        assert more.decoded == 2 and jobs(h) == 2
        check_pack(h, more.path, files, 16000)
        for wanted in (files[:3],  # without the last
                       [files[2], files[0]],  # in another order
                       [(*files[2][:2], "other", files[2][3]), files[0]],  # another label
                       [(files[2][0], 1, "other", files[2][3]), files[0]]):  # another part
            os.utime(more.path, ns=(1, 1))
            answer = make(h, wanted)
            assert answer.decoded == 0 and jobs(h) == 2 and os.stat(answer.path).st_mtime_ns != 1
            check_pack(h, answer.path, wanted, 16000)


def what_cannot_be_had_is_left_out_and_named() -> None:
    with Served() as h:
        files = sounds(h.folder, GOOD[:2])
        nan, text, empty, gone, changed = (h.path(n) for n in ("nan.wav", "text.wav", "empty.wav", "gone.wav", "changed.wav"))
        noise = (0.1 * np.random.default_rng(1).standard_normal(5000)).astype("<f4")
        noise[4000] = np.nan
        write_wav(nan, data=noise.tobytes(), bits=32)
        with open(text, "w", encoding="utf-8") as f:
            f.write("not a sound\n" * 100)
        write_wav(empty, samples=0)
        write_wav(gone)
        write_wav(changed)
        bad = [wish(p) for p in (nan, text, empty, gone, changed)]
        os.unlink(gone)
        write_wav(changed, seed=2)
        wanted = [bad[0], files[0], *bad[1:4], files[1], bad[4]]
        answer = make(h, wanted)
        assert sorted(answer.left_out) == [0, 2, 3, 4, 6] and answer.decoded == 2, answer.text
        for i, why in ((0, "sample 4000 is not a finite number"), (2, "ot recognised"), (3, "no samples"), (4, "No such file"),
                       (6, "not those that the dataset has")):
            assert why in answer.left_out[i], answer.left_out
        check_pack(h, answer.path, files, 16000)
        os.utime(answer.path, ns=(1, 1))
        again = make(h, wanted)  # those are tried again, and the pack stays as it is
        assert sorted(again.left_out) == [0, 2, 3, 4, 6] and again.decoded == 0 and os.stat(answer.path).st_mtime_ns == 1
        write_wav(gone)
        mended = make(h, wanted)
        assert sorted(mended.left_out) == [0, 2, 3, 6] and mended.decoded == 1
        check_pack(h, mended.path, [files[0], bad[3], files[1]], 16000)
        none = make(h, [bad[0], bad[1]], code=1)
        assert none.failed.startswith("format none of 2 files") and nan in none.failed and sorted(none.left_out) == [0, 1]
        check_pack(h, mended.path, [files[0], bad[3], files[1]], 16000)  # still there


def a_damaged_pack_is_made_again() -> None:
    with Served() as h:
        files = sounds(h.folder, GOOD[:1] + GOOD[2:])
        path = make(h, files).path
        with open(path, "rb") as f:
            whole = f.read()
        first = 4 * len(read_pack(path)[1][0][3])

        def with_byte(at: int) -> bytes:
            return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:]

        for damaged, decoded in ((whole[:-1], 3), (with_byte(8), 3), (with_byte(4), 3), (b"", 3), (with_byte(len(whole) - 1), 3),
                                 (with_byte(64), 1), (with_byte(64 + first + 5), 1)):  # samples: that sound alone
            with open(path, "wb") as f:
                f.write(damaged)
            assert make(h, files).decoded == decoded
            with open(path, "rb") as f:
                assert f.read() == whole


def what_is_no_wish_is_refused() -> None:
    with Served() as h:
        files = sounds(h.folder, GOOD[:1])
        _, part, label, path = files[0]
        for wanted, options, why in (([], {}, "0 files"), (files, {"rate": 0}, "0 Hz"), (files, {"rate": 1000001}, "allowed 1 to 1000000"),
                                     (files, {"dataset": "a/b"}, "no name"), (files, {"dataset": ".."}, "no name"),
                                     ([wish(path, 2)], {}, "part 2"), ([wish(path, 0, "x" * 64)], {}, "64 bytes, allowed 63"),
                                     ([(files[0][0], part, label, "speech.wav")], {}, "not absolute")):
            answer = make(h, wanted, code=1, **options)
            assert answer.failed.startswith("argument ") and why in answer.failed, (why, answer.text)
        assert jobs(h) == 0 and not os.path.exists(os.path.join(h.home, "datasets"))


def what_was_killed_and_two_at_once() -> None:
    with Served() as h:
        files = []
        for i in range(40):
            write_wav(h.path(f"{i}.wav"), samples=40000, seed=i, channels=2)
            files.append(wish(h.path(f"{i}.wav"), 0, str(i)))
        lines = "".join("\t".join(map(str, f)) + "\n" for f in files).encode()
        leave_behind(h)
        both = [subprocess.Popen([RUN, h.home, "drums", "16000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env=h.environment) for _ in range(2)]
        for b in both:
            b.stdin.write(lines)
            b.stdin.close()
            b.stdin = None
        said = [b.communicate(timeout=100)[0].decode() for b in both]
        assert sorted(Answer(s).decoded for s in said) == [0, 40], said  # one waits, and finds the other's
        assert os.listdir(os.path.join(h.home, "datasets", "drums", "packs")) == ["16000.pack"]
        assert [e[2] for e in read_pack(Answer(said[0]).path)[1]] == [str(i) for i in range(40)]


if __name__ == "__main__":
    journey.main([made_and_used_again, what_is_there_is_not_decoded_again, what_cannot_be_had_is_left_out_and_named,
                  a_damaged_pack_is_made_again, what_is_no_wish_is_refused, what_was_killed_and_two_at_once])
