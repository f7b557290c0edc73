"""Names of inputs and outputs as somebody with bad intentions would choose them: what workers open, and what they do not."""
from __future__ import annotations

import os
import shutil
import socket
import threading
import time

import msgpack
import numpy as np
import rig
from journey import write_wav
from rig import Options, Rig, Session
from wavemill_client import Refused

DEAD, INPUT = 3, 1  # the state of an item, and its failure class
FORCE = {20: True}


def outcomes(c: Session, kind: str, paths: list[bytes], params: dict, item_params: list[dict] | None = None) -> dict[int, dict]:
    job = c.submit(kind, paths, params, item_params)
    found = {o[1]: o for o in c.outcomes(job)}
    assert sorted(found) == list(range(len(paths)))
    return found


def peak_of(outcome: dict) -> float:
    return msgpack.unpackb(outcome[5], strict_map_key=False)[22]


def make_traps(folder: str) -> dict[bytes, str]:
    """Paths, and a part of what the worker must say of each."""
    def at(name: str) -> str:
        return os.path.join(folder, name)

    os.mkfifo(at("fifo"))
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(at("socket"))
    os.mkdir(at("folder"))
    os.symlink("/dev/zero", at("link-to-device"))
    os.symlink(at("fifo"), at("link-to-fifo"))
    os.symlink("circle", at("circle"))
    os.symlink("nowhere", at("dangling"))
    os.mknod(at("device"), 0o20666, os.makedev(1, 5))  # /dev/zero under another name
    good = at("good.wav")
    traps = {b"": "not absolute", b"good.wav": "not absolute", b"../../etc/passwd": "not absolute", b".": "not absolute",
             f"{good}\0".encode(): "zero byte", f"{good}\0/etc/passwd".encode(): "zero byte", b"\0": "zero byte",
             f"{folder}/..".encode(): "a directory", f"{good}/".encode(): "Not a directory",
             f"{good}/..".encode(): "Not a directory", b"/" + b"x" * 300: "too long", b"/x" * 2048: "too long",
             b"/dev/zero": "a character device", b"/dev/null": "a character device", b"/proc/self/mem": "empty",
             b"/proc/self/fd": "a directory", f"{folder}/../../../../../../etc/passwd".encode(): "format"}
    names = {"fifo": "a FIFO", "socket": "a socket", "folder": "a directory", "link-to-device": "a character device",
             "link-to-fifo": "a FIFO", "circle": "symbolic links", "dangling": "No such file", "device": "a character device"}
    return traps | {at(name).encode(): said for name, said in names.items()}


def traps_open_nothing(_: Options) -> None:
    """Relative and climbing names, names with a zero byte, devices, FIFOs, sockets, folders, links to them: each is one dead item
    with the reason, at the first attempt; the good files between them are done."""
    with Rig(workers=1, threads=2) as r, r.session() as c:
        folder = r.home.path("sounds")
        os.mkdir(folder)
        good = os.path.join(folder, "good.wav")
        write_wav(good)
        traps = make_traps(folder)
        paths = [p for trap in traps for p in (trap, good.encode())]
        outs = [{1: r.home.path(f"{i}.npy").encode()} for i in range(len(paths))]
        for kind, params, extra in (("analyze", FORCE, None), ("features", {22: "rms"} | FORCE, outs)):
            found = outcomes(c, kind, paths, params, extra)
            for i, path in enumerate(paths):
                o = found[i]
                if path == good.encode():
                    assert o[2] == 2, (path, o)
                    continue
                assert o[2] == DEAD and o[3] == INPUT and o[6] == 1, (path, o)
                assert traps[path].lower() in o[4].lower(), f"{path!r}: {o[4]!r}, wanted {traps[path]!r}"
        assert c.stats()[9][0][7] == 2 * len(paths)  # one worker, the same one, did all
    print(f"    {2 * len(traps)} traps, each refused")


def outputs_stay_where_they_belong(_: Options) -> None:
    """The name of an output that is a link, or climbs out through one that was put in its place: what it points to is not written."""
    with Rig(workers=1) as r, r.session() as c:
        sound, precious = r.home.path("good.wav"), r.home.path("precious")
        write_wav(sound)
        with open(precious, "wb") as f:
            f.write(b"precious")
        os.mkdir(r.home.path("folder"))
        os.symlink(precious, r.home.path("link.npy"))
        os.mkfifo(r.home.path("fifo.npy"))
        outs = [b"x.npy", b"", r.home.path("folder").encode(), f"{r.home.path('y.npy')}\0.txt".encode(),
                r.home.path("link.npy").encode(), r.home.path("fifo.npy").encode(), b"/proc/x.npy", f"{sound}/x.npy".encode()]
        found = outcomes(c, "features", [sound.encode()] * len(outs), {22: "rms"} | FORCE, [{1: x} for x in outs])
        for i, out in enumerate(outs):
            if i in (4, 5):  # replaced, as a file of that name would be
                assert found[i][2] == 2 and np.load(out.decode()).shape[0] == 1 and not os.path.islink(out), found[i]
            else:
                assert found[i][2] == DEAD and found[i][3] == INPUT, (out, found[i])
        with open(precious, "rb") as f:
            assert f.read() == b"precious"
        assert not os.path.exists(r.home.path("y.npy"))


def swapped_while_it_is_opened(o: Options) -> None:
    """A name that becomes a file, a FIFO, a link to a device, a folder and nothing by turns, as fast as can be: each item gets the
    file's own result or a refusal, and no worker waits for ever."""
    choice, count = o.random(), o.times(600)
    with Rig(workers=1, threads=2) as r, r.session() as c:
        folder = r.home.path("sounds")
        os.mkdir(folder)
        good, path, ending = os.path.join(folder, "good.wav"), os.path.join(folder, "x.wav"), threading.Event()
        write_wav(good, samples=2000)
        want = peak_of(outcomes(c, "analyze", [good.encode()], FORCE)[0])

        swaps = [0]

        def swap() -> None:
            made = os.path.join(folder, "made")
            while not ending.is_set():
                if os.path.lexists(made):
                    os.unlink(made)  # rename does nothing when both are names of one file
                [lambda: shutil.copy(good, made), lambda: os.link(good, made), lambda: os.mkfifo(made),
                 lambda: os.symlink("/dev/zero", made), lambda: os.symlink(good, made), lambda: os.symlink("/etc/passwd", made)][choice.randrange(6)]()
                os.rename(made, path)
                if choice.random() < 0.1:
                    os.unlink(path)
                swaps[0] += 1

        thread = threading.Thread(target=swap)
        thread.start()
        try:
            found: list[dict] = []
            while len(found) < count:
                found += outcomes(c, "analyze", [path.encode()] * 200, FORCE).values()
        finally:
            ending.set()
            thread.join()
        done = [x for x in found if x[2] == 2]
        assert all(peak_of(x) == want for x in done), "a result of another file"
        reasons: dict[str, int] = {}
        for x in found:
            if x[2] == DEAD:
                assert x[3] in (INPUT, 3), x
                reasons[x[4][:60]] = reasons.get(x[4][:60], 0) + 1
        assert done and len(reasons) >= 2 and swaps[0] >= 50, (swaps, reasons)
    print(f"    {len(found)} items: {len(done)} done; " + "; ".join(f"{n} x {reason}" for reason, n in sorted(reasons.items())))


def huge_and_empty(o: Options) -> None:
    """A large file without content beside small ones: they are done while it is read, and it is refused. --count: its MiB."""
    mib = o.times(256)
    with Rig(workers=1, threads=2) as r, r.session() as c:
        good, huge = r.home.path("good.wav"), r.home.path("huge.wav")
        write_wav(good)
        with open(huge, "wb") as f:
            f.truncate(mib << 20)
        began = time.monotonic()
        slow = c.submit("analyze", [huge.encode()])
        assert all(x[2] == 2 for x in outcomes(c, "analyze", [good.encode()] * 50, FORCE).values())
        others = time.monotonic() - began
        (outcome,) = c.outcomes(slow)
        assert outcome[2] == DEAD and outcome[3] == INPUT, outcome
        try:
            c.submit("analyze", [b"/" + b"x" * 4096])
        except Refused as e:
            assert e.code == 3
        else:
            raise AssertionError("a path over the limit was accepted")
    print(f"    {mib} MiB of nothing refused after {time.monotonic() - began:.1f} s; 50 files beside it took {others:.2f} s")


if __name__ == "__main__":
    rig.main([traps_open_nothing, outputs_stay_where_they_belong, swapped_while_it_is_opened, huge_and_empty])
