"""A training looked at and listened to: previews on the way, its curves, its pictures; and what cannot be drawn."""
import json
import os
import shutil
import signal
import struct
import subprocess
import time
import wave
import zlib
from xml.etree import ElementTree

import journey
import numpy as np
from journey import DATA, Home

SETTINGS = ("--preset", "tiny", "--batch", "4", "--validate", "10", "--seed", "7", "--previews", "2")
SVG = "{http://www.w3.org/2000/svg}"
KINDS = ("original", "reconstruction", "prior")
FRAMES, HOP, MELS = 64, 256, 64


def place(h: Home, name: str, *parts: str) -> str:
    return os.path.join(h.home, "models", name, *parts)


def read(path: str) -> bytes:
    with open(path, "rb") as f:
        return f.read()


def metrics(h: Home, name: str) -> list[dict]:
    return [json.loads(line) for line in read(place(h, name, "metrics.jsonl")).decode().splitlines()]


def without_seconds(lines: list[dict]) -> list[dict]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def check_wav(path: str) -> None:
    """All of it: a file that is half there has another length than its header says."""
    data = read(path)
    assert data[:4] == b"RIFF" and struct.unpack("<I", data[4:8])[0] == len(data) - 8, (path, len(data))
    with wave.open(path, "rb") as w:
        assert w.getnframes() == (FRAMES - 1) * HOP and w.getframerate() == 22050 and w.getnchannels() == 1, path


def read_png(path: str) -> np.ndarray:
    """[height, width, 3]; a decoder of its own, of what libpng writes for 8-bit RGB."""
    data, at, packed, size = read(path), 8, b"", None
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0], kind
        if kind == b"IHDR":
            size = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    assert at == len(data) and size[2:4] == (8, 2), size
    width, height = size[:2]
    raw, out, above = zlib.decompress(packed), bytearray(), bytes(3 * width)
    assert len(raw) == height * (1 + 3 * width)
    for y in range(height):
        kind, row = raw[y * (1 + 3 * width)], bytearray(raw[y * (1 + 3 * width) + 1:(y + 1) * (1 + 3 * width)])
        if kind == 2:
            row = bytearray((np.frombuffer(row, np.uint8) + np.frombuffer(above, np.uint8)).tobytes())
        elif kind:
            for x, v in enumerate(row):
                left, corner, up = (row[x - 3], above[x - 3], above[x]) if x >= 3 else (0, 0, above[x])
                if kind == 1:
                    by = left
                elif kind == 3:
                    by = (left + up) // 2
                else:
                    p, q, r = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
                    by = left if p <= q and p <= r else up if q <= r else corner
                row[x] = (v + by) & 255
        out += row
        above = row
    return np.frombuffer(bytes(out), np.uint8).reshape(height, width, 3)


def check_curves(folder: str, name: str, lines: list[dict]) -> None:
    root = ElementTree.fromstring(read(os.path.join(folder, f"{name}-curves.svg")))
    width, height = float(root.get("width")), float(root.get("height"))
    texts = ["".join(t.itertext()) for t in root.iter(SVG + "text")]
    for wanted in (name, "step", "train", "validation", "KL"):
        assert wanted in texts, (wanted, texts)
    best = min(lines, key=lambda line: line["validation_loss"])
    assert f"best: {best['validation_loss']:.4g} at step {best['step']}" in texts, texts
    curves = {}
    for line in root.iter(SVG + "polyline"):
        points = [tuple(map(float, p.split(","))) for p in line.get("points").split()]
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
        curves.setdefault(line.get("stroke"), []).append(points)
    picture = read_png(os.path.join(folder, f"{name}-curves.png"))
    assert picture.shape == (height, width, 3)
    for colour, key in (("#4477aa", "train_loss"), ("#ee6677", "validation_loss"), ("#aa3377", "kl")):
        points = max(curves[colour], key=len)
        assert len(points) == len(lines), (key, len(points), len(lines))
        values = [line[key] for line in lines]
        # Higher values stand higher, and steps are in proportion.
        assert np.argsort(values)[-1] == np.argmin([y for _, y in points]) or values.count(max(values)) > 1, key
        first, last = points[0][0], points[-1][0]
        for (x, _), line in zip(points, lines):
            wanted = first + (last - first) * (line["step"] - lines[0]["step"]) / max(1, lines[-1]["step"] - lines[0]["step"])
            assert abs(x - wanted) < 0.02, (x, wanted)
        x, y = points[0]
        if key == "kl":
            assert tuple(picture[int(y), int(x)]) == tuple(bytes.fromhex(colour[1:])), (key, x, y)


def check_sheet(folder: str, name: str, maps: np.ndarray) -> None:
    root = ElementTree.fromstring(read(os.path.join(folder, f"{name}-sheet.svg")))
    images = root.findall(SVG + "image")
    assert len(images) == len(maps) + 1, len(images)  # and the scale
    texts = ["".join(t.itertext()) for t in root.iter(SVG + "text")]
    for wanted in ("original", "reconstruction", "sound 1", "sound 2", "dB", "1k", "0.2"):
        assert wanted in texts, (wanted, texts)
    picture = read_png(os.path.join(folder, f"{name}-sheet.png")).astype(float)
    for image, which in zip(images, (0, 2, 1, 3)):  # as they are drawn: each sound, then what became of it
        x, y, w, hgt = (float(image.get(k)) for k in ("x", "y", "width", "height"))
        cell = picture[int(y) + 1:int(y + hgt) - 1, int(x) + 1:int(x + w) - 1].sum(2)
        seen = cell[np.linspace(0, len(cell) - 1, MELS).astype(int)][:, np.linspace(0, cell.shape[1] - 1, FRAMES).astype(int)]
        wanted = np.clip(maps[which], maps[:2].max() - 80, maps[:2].max()).T[::-1]
        assert np.corrcoef(seen.ravel(), wanted.ravel())[0, 1] > 0.85, which


def drawn_and_posted() -> None:
    """Previews that come on the way leave the model what it is; all of it is drawn."""
    with Home() as h:
        h.run("dataset", "create", "d", DATA)
        lines = h.lines("train", "d", "--name", "heard", *SETTINGS, "--steps", "60", "--preview-every", "2")
        told = [x["previews"] for x in lines if "previews" in x]
        assert told == sorted(told) and told[-1] == 60 and set(told) <= {20, 40, 60}, lines  # newer ones may overtake
        steps = [x["validation"]["step"] for x in lines if "validation" in x]
        quiet = h.lines("train", "d", "--name", "unheard", *SETTINGS, "--steps", "60", "--preview-every", "0")
        assert not [x for x in quiet if "previews" in x], quiet
        assert read(place(h, "heard", "model.safetensors")) == read(place(h, "unheard", "model.safetensors")), "previews changed the model"
        seldom = h.run("train", "d", "--name", "seldom", *SETTINGS, "--steps", "60")  # over before a minute
        assert b"previews of" not in seldom.stderr and seldom.stderr.count(b"validation") == 6, seldom.stderr
        assert sorted(os.listdir(place(h, "heard", "previews"))) == sorted([f"{n}.{k}.wav" for n in (0, 1) for k in KINDS] + ["maps.npy"])
        for n in (0, 1):
            for kind in KINDS:
                check_wav(place(h, "heard", "previews", f"{n}.{kind}.wav"))
                assert read(place(h, "heard", "previews", f"{n}.{kind}.wav")) == read(place(h, "unheard", "previews", f"{n}.{kind}.wav"))
        maps = np.load(place(h, "heard", "previews", "maps.npy"))
        assert maps.shape == (4, FRAMES, MELS) and maps.dtype == np.float32 and maps.flags.c_contiguous and np.isfinite(maps).all()
        curves = metrics(h, "heard")
        assert [m["step"] for m in curves] == steps and without_seconds(curves) == without_seconds(metrics(h, "unheard"))

        out = h.path("pictures")
        said = h.lines("plot", "heard", "--out", out)[0]
        best = min(curves, key=lambda m: m["validation_loss"])
        names = [f"heard-{p}.{f}" for p in ("curves", "sheet") for f in ("png", "svg")]
        assert said["model"] == "heard" and said["results"] == {
            "files": [os.path.join(out, n) for n in names], "skipped": [], "validations": 6, "steps": 60, "best_step": best["step"],
            "best_validation_loss": best["validation_loss"], "sounds": 2, "finished": True}, said
        assert sorted(os.listdir(out)) == sorted(names)
        check_curves(out, "heard", curves)
        check_sheet(out, "heard", maps)
        before = {n: read(os.path.join(out, n)) for n in names}
        os.remove(os.path.join(out, "heard-sheet.png"))
        again = h.lines("plot", "heard", "--out", out, "--skip-existing")[0]["results"]
        assert again["files"] == [os.path.join(out, "heard-sheet.png")] and len(again["skipped"]) == 3, again
        assert {n: read(os.path.join(out, n)) for n in names} == before, "not the same bytes"
        here = h.path("here")
        os.makedirs(here)
        dry = h.run("plot", "heard", "unheard", "--dry-run", "--format", "svg", cwd=here)
        assert dry.stdout.split() == [b"heard-curves.svg", b"heard-sheet.svg", b"unheard-curves.svg", b"unheard-sheet.svg"] and not os.listdir(here)
        h.run("plot", "heard", "--format", "svg", cwd=here)
        assert sorted(os.listdir(here)) == ["heard-curves.svg", "heard-sheet.svg"]
        h.run("models", "verify", "heard")


def on_the_way() -> None:
    """While it trains: whole files, whenever one looks; and after an interrupt no line twice."""
    with Home() as h:
        h.run("dataset", "create", "d", DATA)
        running = h.start("train", "d", "--name", "m", *SETTINGS, "--steps", "100000", "--patience", "100000", "--preview-every", "1")
        folder, seen, looks = place(h, "m", "previews"), set(), 0
        end = time.monotonic() + 60
        while len(seen) < 3 and time.monotonic() < end:
            for name in os.listdir(folder) if os.path.isdir(folder) else []:
                if name.endswith(".wav"):
                    check_wav(os.path.join(folder, name))
                    looks += 1
            if os.path.exists(os.path.join(folder, "maps.npy")):
                maps = np.load(os.path.join(folder, "maps.npy"))
                assert maps.shape == (4, FRAMES, MELS) and np.isfinite(maps).all()
                seen.add(maps[2:].tobytes())
            if os.path.exists(place(h, "m", "metrics.jsonl")):
                steps = [m["step"] for m in metrics(h, "m")]
                assert steps == list(range(10, 10 * len(steps) + 1, 10)), steps
        assert len(seen) >= 3 and looks > 4, (len(seen), looks, running.poll())
        half = h.lines("plot", "m", "--out", h.path("half"))[0]["results"]
        assert not half["finished"] and half["sounds"] == 2 and half["validations"] >= 3 and len(half["files"]) == 4, half
        root = ElementTree.fromstring(read(h.path("half/m-curves.svg")))
        assert any("not finished" in "".join(t.itertext()) for t in root.iter(SVG + "text"))
        read_png(h.path("half/m-sheet.png"))
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
        assert running.returncode == 130
        kept = [m["step"] for m in metrics(h, "m")]
        assert kept == list(range(10, kept[-1] + 1, 10)) and not [n for n in os.listdir(place(h, "m")) if n.startswith(".")]
        # The rest of it, shortened: the curve is that of a training that nobody interrupted.
        with open(place(h, "m", "begun.json"), encoding="utf-8") as f:
            begun = json.load(f)
        assert begun["preview_every"] == 1 and begun["previews_at_end"] is False, begun


def gone_on_with() -> None:
    """Killed and taken up again: each line once, and the curve of one that was left alone."""
    settings = (*SETTINGS, "--steps", "200", "--preview-every", "5")
    with Home() as h:
        h.run("dataset", "create", "d", DATA)
        h.run("train", "d", "--name", "whole", *settings)
        running = h.start("train", "d", "--name", "cut", *settings)
        end = time.monotonic() + 60
        while not os.path.exists(place(h, "cut", "metrics.jsonl")) or len(metrics(h, "cut")) < 8:
            assert time.monotonic() < end and running.poll() is None
            time.sleep(0.01)
        for pid in [str(running.pid), *h.processes()]:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        running.communicate()
        assert not h.wait_for_end()
        assert len(metrics(h, "cut")) >= 8  # what was said is on the disk
        assert not os.path.exists(place(h, "cut", "model.json"))
        h.run("train", "d", "--name", "cut", "--resume")
        assert without_seconds(metrics(h, "cut")) == without_seconds(metrics(h, "whole"))
        assert read(place(h, "cut", "model.safetensors")) == read(place(h, "whole", "model.safetensors"))
        assert read(place(h, "cut", "previews", "1.prior.wav")) == read(place(h, "whole", "previews", "1.prior.wav"))
        h.run("models", "remove", "cut", "whole")
        assert not [n for n in os.listdir(os.path.join(h.home, "models")) if n != ".lock"]


def make_model(h: Home, name: str = "m") -> str:
    folder = place(h, name)
    os.makedirs(folder)
    with open(os.path.join(folder, "metrics.jsonl"), "w", encoding="utf-8") as f:
        for step in range(1, 6):
            f.write(json.dumps({"step": step, "train_loss": 1 / step, "validation_loss": 2 / step, "reconstruction": 1.5 / step, "kl": step,
                                "seconds": step}) + "\n")
    return folder


def what_cannot_be_drawn() -> None:
    with Home() as h:
        folder = make_model(h)
        out = h.path("out")
        for arguments, said in (((), b"which model"), (("../m",), b"no name"), (("m", "--format", "gif"), b"png and svg"),
                                (("m", "--format", ""), b"png and svg"), (("m", "--csv"), b"--json"), (("m", "--out", ""), b"which folder"),
                                (("m", "--preset", "tiny"), b"unrecognized")):
            done = h.run("plot", *arguments, code=2)
            assert said in done.stderr, (arguments, done.stderr)
        assert b"there is no model none" in h.run("plot", "none", "--out", out, code=1).stderr
        assert not os.path.exists(out)
        h.run("models", "import", os.path.join(DATA, "htdemucs_tiny"), "--name", "imported")
        error = h.lines("plot", "imported", code=1)[0]
        assert error["model"] == "imported" and error["error"]["class"] == "INPUT" and "not trained here" in error["error"]["message"], error
        # Without previews: curves, and it says so; another model's trouble stops nobody.
        both = h.run("plot", "none", "m", "--out", out, code=1)
        assert sorted(os.listdir(out)) == ["m-curves.png", "m-curves.svg"] and b"no previews yet: no sheet" in both.stderr, both.stderr
        # A folder that cannot be.
        with open(h.path("file"), "wb"):
            pass
        for where in (h.path("file"), h.path("no/such/folder"), "/proc"):
            done = h.run("plot", "m", "--out", where, code=1)
            assert b"cannot" in done.stderr or b"not a folder" in done.stderr, done.stderr
        # Damage, named by file and line.
        os.makedirs(os.path.join(folder, "previews"))
        with open(os.path.join(folder, "previews/maps.npy"), "wb") as f:
            f.write(b"\x93NUMPY\x01\x00garbage")
        done = h.run("plot", "m", "--out", out, code=1)
        assert b"config.json" in done.stderr, done.stderr
        with open(os.path.join(folder, "metrics.jsonl"), "r+", encoding="utf-8") as f:
            text = f.read().replace('{"step": 3', '{"step": three')
            f.seek(0)
            f.truncate()
            f.write(text)
        done = h.lines("plot", "m", "--out", out, code=1)[0]["error"]
        assert "metrics.jsonl, line 3:" in done["message"], done


def full_disk() -> None:
    """Nothing half stands there, and what stood there stays."""
    with Home() as h:
        make_model(h)
        out = h.path("small")
        os.makedirs(out)
        inside = ('mount -t tmpfs -o size=24k tmpfs "$1" || exit 99; echo old > "$1/m-curves.png"; shift; "$@"; code=$?; '
                  'ls -A "$OUT" >&2; cat "$OUT/m-curves.png" >&2; exit $code')
        done = subprocess.run(["unshare", "-rm", "sh", "-c", inside, "sh", out, os.path.join(h.programs, "wavemill"), "plot", "m", "--out", out],
                              env={**h.environment, "OUT": out}, capture_output=True, check=False, timeout=60)
        assert done.returncode == 1, (done.returncode, done.stderr)
        assert b"m-curves.png: No space left" in done.stderr and done.stderr.endswith(b"\nm-curves.png\nold\n"), done.stderr
        shutil.rmtree(out)


if __name__ == "__main__":
    journey.main([drawn_and_posted, on_the_way, gone_on_with, what_cannot_be_drawn, full_disk])
