"""Datasets as a user meets them: made of good and bad files, looked at, checked, drawn, replaced, killed, removed."""
import contextlib
import glob
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import time
import zlib

from journey import AUDIO, DATA, Home, main, write_wav


def write_floats(path: str, values: list[float], rate: int = 8000) -> None:
    write_wav(path, rate=rate, bits=32, data=struct.pack(f"<{len(values)}f", *values))


def tree(folder: str) -> list[str]:
    return sorted(os.path.relpath(os.path.join(f, n), folder) for f, _, names in os.walk(folder) for n in names)


def manifest(home: Home, name: str) -> dict:
    with open(os.path.join(home.home, "datasets", name, "dataset.json"), encoding="utf-8") as f:
        return json.load(f)


def blake2b(path: str) -> str:
    with open(path, "rb") as f:
        return hashlib.blake2b(f.read(), digest_size=32).hexdigest()


@contextlib.contextmanager
def served():
    """A home with a scheduler, so that no command starts one."""
    with Home() as h:
        running = h.serve()
        try:
            yield h
        finally:
            running.terminate()
            running.communicate()


def make_sounds(folder: str) -> None:
    """Nine good contents under three labels, one of them twice, and three files that cannot be used."""
    for label in ("kick", "snare/soft", "."):
        os.makedirs(os.path.join(folder, label), exist_ok=True)
        for i in range(2):
            write_wav(os.path.join(folder, label, f"{i}.wav"), 30000, seed=len(label) * 10 + i)
    shutil.copy(os.path.join(folder, "kick/0.wav"), os.path.join(folder, "kick/again.wav"))
    write_floats(os.path.join(folder, "silent.wav"), [0.0] * 8000)
    write_floats(os.path.join(folder, "clipped.wav"), [0.1, 1.0, 1.0, 1.0, 0.1] * 1600)
    shutil.copy(os.path.join(DATA, "oneshot_hihat_mono_96k.flac"), folder)
    write_floats(os.path.join(folder, "nan.wav"), [0.5, float("nan"), float("-inf")] * 10)
    with open(os.path.join(DATA, "music_stereo_44k.flac"), "rb") as f, open(os.path.join(folder, "broken.flac"), "wb") as to:
        to.write(f.read(3000))
    with open(os.path.join(folder, "text.wav"), "wb") as to:
        to.write(b"no sound at all, but a text " * 40)


def from_good_and_bad_files() -> None:
    with Home() as h:
        source = h.path("sounds")
        make_sounds(source)
        lines = h.lines("dataset", "create", "drums", source, code=1)
        bad = {os.path.basename(x["input"]["path"]): x["error"]["message"] for x in lines if "error" in x}
        assert sorted(bad) == ["broken.flac", "nan.wav", "text.wav"], bad
        assert bad["nan.wav"] == "20 samples are no finite numbers, the first is sample 1", bad
        total = lines[-1]
        assert total["dataset"] == "drums" and total["results"]["rejected"] == 3, total
        assert (total["results"]["files"], total["results"]["train"], total["results"]["validation"]) == (9, 8, 1), total
        said = {(w["kind"], w["name"]) for w in total["warnings"]}
        assert said == {("silent", "silent.wav"), ("clipped", "clipped.wav"), ("duplicate", "kick/0.wav"),
                        ("sample rates", None)}, said
        files = {x["results"]["name"]: x for x in lines[:-1] if "results" in x}
        assert {n: f["results"]["label"] for n, f in files.items()} == {
            "0.wav": None, "1.wav": None, "kick/0.wav": "kick", "kick/1.wav": "kick", "snare/soft/0.wav": "snare/soft",
            "snare/soft/1.wav": "snare/soft", "silent.wav": None, "clipped.wav": None, "oneshot_hihat_mono_96k.flac": None}, files
        assert files["kick/0.wav"]["results"]["duplicates"] == ["kick/again.wav"]
        assert files["clipped.wav"]["results"]["clipped_samples"] == 4800 and files["clipped.wav"]["results"]["peak"] == 1
        assert files["kick/1.wav"]["results"]["clipped_samples"] == 0
        assert files["silent.wav"]["results"]["rms"] == 0 and files["silent.wav"]["input"]["duration_s"] == 1
        for name, f in files.items():
            assert f["input"]["blake2b"] == blake2b(os.path.join(source, name)) == blake2b(f["input"]["path"])
            assert f["input"]["path"].endswith("/drums/files/" + f["input"]["blake2b"])
        assert len(tree(os.path.join(h.home, "datasets/drums"))) == 10
        kept = manifest(h, "drums")["files"]
        assert [f["blake2b"] for f in kept] == sorted(f["blake2b"] for f in kept)
        assert [f["split"] for f in kept] == ["validation"] + 8 * ["train"]
        text = h.run("dataset", "create", "other", source, code=1)
        assert b"9 files" in text.stdout and b"3 rejected" in text.stdout and b"warning: silent.wav: silent" in text.stderr
        assert b"nan.wav: INPUT: 20 samples" in text.stderr, text.stderr


def the_source_may_go() -> None:
    with served() as h:
        source = h.path("sounds")
        make_sounds(source)
        for name in ("nan.wav", "broken.flac", "text.wav"):
            os.remove(os.path.join(source, name))
        h.run("dataset", "create", "kept", source)
        h.run("dataset", "create", "named", source, "--reference")
        assert tree(os.path.join(h.home, "datasets/named")) == ["dataset.json"]
        assert all(f["path"] == os.path.join(os.path.realpath(source), f["name"]) for f in manifest(h, "named")["files"])
        h.run("dataset", "check", "kept", "named")
        os.rename(source, h.path("moved"))
        assert b"9 files" in h.run("dataset", "check", "kept").stdout
        gone = h.lines("dataset", "check", "named", code=1)
        assert [x["error"]["message"] for x in gone[:-1]] == 9 * ["it is gone"] and gone[-1]["results"]["bad"] == 9, gone
        assert b"gone: kick/0.wav: it is gone" in h.run("dataset", "check", "named", code=1).stdout
        h.run("dataset", "thumbnails", "kept", "--out", h.path("kept.png"))
        h.run("dataset", "thumbnails", "named", "--out", h.path("named.png"), code=1)
        # One byte, and a length, that are others.
        files = manifest(h, "kept")["files"]
        for i, f in enumerate(files[:3]):
            path = os.path.join(h.home, "datasets/kept/files", f["blake2b"])
            if i == 2:
                os.remove(path)
                continue
            with open(path, "r+b") as to:
                to.seek(0, 2 * i)  # at the beginning, behind the end
                to.write(b"x")
        bad = h.lines("dataset", "check", "kept", code=1)
        assert [x["error"]["message"].split(" ")[1] for x in bad[:-1]] == ["bytes", "has", "is"], bad
        assert [x["name"] for x in bad[:-1]] == [f["name"] for f in files[:3]]


def the_same_files_give_the_same_split() -> None:
    with served() as h:
        def split(name: str) -> dict:
            return {f["blake2b"]: f["split"] for f in manifest(h, name)["files"]}

        os.makedirs(h.path("a"))
        for i in range(30):
            write_wav(h.path(f"a/{i}.wav"), 400, seed=i)
        h.run("dataset", "create", "one", h.path("a"))
        os.makedirs(h.path("b/deep"))
        for i, n in enumerate(sorted(os.listdir(h.path("a")))):
            shutil.copy(h.path("a/" + n), h.path(f"b/{'deep/' if i % 2 else ''}x{97 * i % 31}.wav"))
        h.run("dataset", "create", "two", h.path("b"))
        assert split("one") == split("two") and list(split("one").values()).count("validation") == 3
        h.run("dataset", "create", "half", h.path("a"), "--validation", "0.5")
        h.run("dataset", "create", "none", h.path("a"), "--validation", "0")
        assert list(split("half").values()).count("validation") == 15 and "validation" not in split("none").values()
        # Several paths: their names lead.
        h.run("dataset", "create", "both", h.path("b/deep"), h.path("b/x0.wav"), h.path("a/") + "//")
        names = {f["name"]: f["label"] for f in manifest(h, "both")["files"]}
        assert names["x0.wav"] == "" and set(names.values()) == {"", "deep", "a"}, names


def made_anew() -> None:
    with served() as h:
        for i in range(6):
            write_wav(h.path(f"{i}.wav"), 8000, seed=i)
        first, second = [h.path(f"{i}.wav") for i in range(3)], [h.path(f"{i}.wav") for i in range(3, 6)]
        h.run("dataset", "create", "d", *first)
        before = manifest(h, "d")
        assert b"--replace" in h.run("dataset", "create", "d", *second, code=1).stderr
        assert manifest(h, "d") == before
        with open(h.path("bad.wav"), "wb") as f:
            f.write(b"nothing")
        assert b"nothing was created" in h.run("dataset", "create", "d", h.path("bad.wav"), "--replace", code=1).stderr
        assert manifest(h, "d") == before  # nor lost
        h.run("dataset", "create", "d", *second, "--replace")
        assert [f["name"] for f in sorted(manifest(h, "d")["files"], key=lambda f: f["name"])] == ["3.wav", "4.wav", "5.wav"]
        h.run("dataset", "check", "d")
        h.run("dataset", "create", "fresh", *second, "--replace")  # there is none yet
        h.run("dataset", "create", "bad", h.path("bad.wav"), code=1)
        assert [x["dataset"] for x in h.lines("dataset", "list")] == ["d", "fresh"]
        assert sorted(os.listdir(os.path.join(h.home, "datasets"))) == [".lock", "d", "fresh"]
        listed = h.run("dataset", "list").stdout.decode().splitlines()
        assert len(listed) == 3 and listed[1].split()[:4] == ["d", "3", "2", "1"], listed
        assert h.run("dataset", "list", "--csv").stdout.decode().splitlines()[0].startswith("dataset,files,train,validation,")
        assert b"would remove" in h.run("dataset", "remove", "d", "--dry-run").stdout
        assert manifest(h, "d")
        with open(os.path.join(h.home, "datasets/d/dataset.json"), "w", encoding="utf-8") as f:
            f.write('{"schema": 9}')
        assert "schema 9" in h.lines("dataset", "list", code=1)[0]["error"]["message"]
        h.run("dataset", "remove", "d", "nothing", code=1)
        assert sorted(os.listdir(os.path.join(h.home, "datasets"))) == [".lock", "fresh"]


def struck(h: Home, name: str, number: int) -> tuple[subprocess.Popen, list[str]]:
    """A `dataset create` that got a signal while it copied, and the hidden folders that lie there then."""
    datasets = os.path.join(h.home, "datasets")
    for _ in range(20):
        create = h.start("dataset", "create", name, h.path("big"))
        while create.poll() is None and not glob.glob(datasets + "/.new-*/files/*"):
            time.sleep(0.0005)
        create.send_signal(number)
        create.communicate()
        if not os.path.exists(os.path.join(datasets, name)):
            return create, glob.glob(datasets + "/.new-*")
        h.run("dataset", "remove", name)  # it was done sooner
    raise AssertionError("never in time")


def killed_in_the_middle() -> None:
    with served() as h:
        datasets = os.path.join(h.home, "datasets")
        os.makedirs(h.path("big"))
        block = os.urandom(1 << 20)
        for i in range(10):
            write_wav(h.path(f"big/{i}.wav"), rate=44100, data=bytes([i, 1]) + block * 12)
        create, left = struck(h, "big", signal.SIGKILL)
        assert create.returncode == -signal.SIGKILL and len(left) == 1 and not os.path.exists(datasets + "/big"), left
        assert not os.path.exists(left[0] + "/dataset.json")
        assert h.lines("dataset", "list") == []
        h.run("dataset", "create", "big", h.path("big"))
        assert not glob.glob(datasets + "/.new-*")
        h.run("dataset", "check", "big")
        # An interrupt leaves nothing at all.
        create, _ = struck(h, "other", signal.SIGINT)
        assert create.returncode == 130 and sorted(os.listdir(datasets)) == [".lock", "big"], create.returncode


def read_png(path: str) -> tuple[int, int, list[bytes]]:
    """Width, height and rows of a PNG with a palette, without interlacing."""
    with open(path, "rb") as f:
        data = f.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed, head = 8, b"", b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0] == zlib.crc32(kind + body)
        head, packed = body if kind == b"IHDR" else head, packed + (body if kind == b"IDAT" else b"")
        at += 12 + size
    width, height, bits, colour = struct.unpack(">IIBB", head[:10])
    assert (bits, colour, head[12]) == (8, 3, 0), head
    raw, rows, above = zlib.decompress(packed), [], bytes(width)
    for y in range(height):
        how, line = raw[y * (width + 1)], bytearray(raw[y * (width + 1) + 1:(y + 1) * (width + 1)])
        assert how in (0, 1, 2), how
        for x in range(width):
            line[x] = (line[x] + (0, line[x - 1] if x else 0, above[x])[how]) % 256
        rows.append(bytes(line))
        above = rows[-1]
    return width, height, rows


def pictures_of_all() -> None:
    with served() as h:
        h.run("dataset", "create", "all", *AUDIO)
        count = len(manifest(h, "all")["files"])
        assert count == len(AUDIO)  # every format that there is
        done = h.run("dataset", "thumbnails", "all", cwd=h.folder)
        assert done.stdout.startswith(b"all.png: %d sounds" % count), done.stdout
        width, height, rows = read_png(h.path("all.png"))
        columns = (width - 6) // 166
        assert (width - 6) % 166 == 0 and (height - 6) % 79 == 0 and columns * ((height - 6) // 79) >= count
        for i in range(count):  # each has its loudest place, and a name below
            x, y = 6 + i % columns * 166, 6 + i // columns * 79
            cell = [rows[y + k][x:x + 160] for k in range(64)]
            assert max(max(r) for r in cell) == 252, i
            assert any(254 in rows[y + 66 + k][x:x + 160] for k in range(7)), i
        line = h.lines("dataset", "thumbnails", "all", "--out", h.path("b.png"))[-1]
        assert line["results"] == {"out": h.path("b.png"), "sounds": count, "width": width, "height": height}
        h.run("dataset", "thumbnails", "all", "--out", h.path("no/b.png"), code=1)
        assert not glob.glob(h.path("*.png.*"))


def many_short_and_one_long() -> None:
    with served() as h:
        os.makedirs(h.path("shots"))
        for i in range(500):
            write_wav(h.path(f"shots/{i:03}.wav"), rate=44100, data=struct.pack("<2205h", *([(i + 1) * 40, -i] * 1102 + [i])))
        with open(h.path("shots/long.wav"), "wb") as f:  # ten hours of 8 bits at 1 kHz, but for its beginning a hole
            f.write(b"RIFF" + struct.pack("<I", 36 + 36000000) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 1000, 1000, 1, 8) +
                    b"data" + struct.pack("<I", 36000000) + os.urandom(1000))
            f.truncate(44 + 36000000)
        done = h.lines("dataset", "create", "many", h.path("shots"))
        total = done[-1]
        assert total["results"]["files"] == 501 and total["results"]["validation"] == 50
        said = [w for w in total["warnings"] if w["kind"] == "long"]
        assert len(said) == 1 and said[0]["text"].startswith("10:00:00.0 long, 99.9 %"), total["warnings"]
        os.remove(h.path("shots/long.wav"))
        h.run("dataset", "create", "shots", h.path("shots"))
        h.run("dataset", "thumbnails", "shots", "--out", h.path("x.png"))
        h.run("dataset", "thumbnails", "many", "--out", h.path("y.png"), code=1)


def what_is_not_understood() -> None:
    with served() as h:
        os.makedirs(h.path("empty"))
        write_wav(h.path("a.wav"), 8000)
        for wrong in ((), ("look",), ("create",), ("create", "x"), ("create", "../x", h.path("a.wav")), ("create", ".x", h.path("a.wav")),
                      ("create", "x" * 65, h.path("a.wav")), ("create", "x", h.path("empty")), ("summary",), ("summary", "a", "b"),
                      ("create", "x", h.path("a.wav"), "--validation", "0.91"), ("create", "x", h.path("a.wav"), "--validation", "nan"),
                      ("create", "x", h.path("a.wav"), "--out", "y"), ("list", "x"), ("list", "--replace"), ("check", "x", "--dry-run"),
                      ("remove", "x", "--csv"), ("remove", "x/y"), ("thumbnails", "x", "--csv")):
            h.run("dataset", *wrong, code=2)
        for verb in ("summary", "check", "remove", "thumbnails"):
            assert b"there is no" in h.run("dataset", verb, "x", code=1).stderr
        assert b"[b]" not in h.run("dataset", "create", "x", h.path("a.wav"), "--dry-run").stdout
        h.run("dataset", "create", "x", h.path("missing.wav"), code=1)
        assert not os.path.exists(os.path.join(h.home, "datasets/x"))
        odd = os.path.join(os.fsencode(h.folder), b"\xff \xc3\xa9.wav")
        write_wav(odd, 8000, seed=3)
        h.run("dataset", "create", "odd", odd, "--reference")
        kept = manifest(h, "odd")["files"][0]
        assert bytes.fromhex(kept["name_hex"]) == b"\xff \xc3\xa9.wav" and bytes.fromhex(kept["path_hex"]) == os.path.realpath(odd)
        h.run("dataset", "check", "odd")
        assert h.lines("dataset", "summary", "odd")[0]["results"]["name"] == "\ufffd \xe9.wav"
        assert len(h.run("dataset", "summary", "odd", "--csv").stdout.splitlines()) == 2
        assert b"of which files?" not in h.run("dataset", "--help").stdout


if __name__ == "__main__":
    main([from_good_and_bad_files, the_source_may_go, the_same_files_give_the_same_split, made_anew, killed_in_the_middle,
          pictures_of_all, many_short_and_one_long, what_is_not_understood])
