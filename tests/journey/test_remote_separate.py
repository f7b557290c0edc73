"""Separations by workers of other homes, over tcp on this machine: songs and stems travel as objects. The same files as without,
whole or not at all, whoever is killed; and models are those of the worker's library."""
import glob
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import journey
from journey import AUDIO, DATA, Home
from test_networks import SMALL, song_of_the_case
from test_remote import Client, service, wait_for, workers
from test_score import put_sets
from test_separate import DRUMS, MUSIC, long_song, no_parts


@contextmanager
def far(h: Home, address: str, name: str = "far") -> Iterator[subprocess.Popen]:
    """A worker whose home is a folder of its own in that of the test."""
    worker = subprocess.Popen([os.path.join(h.programs, "wavemill"), "worker", "--connect", address],
                              env={**h.environment, "WAVEMILL_HOME": h.path(name)}, stderr=subprocess.PIPE)
    try:
        yield worker
    finally:
        if worker.poll() is None:
            worker.send_signal(signal.SIGCONT)
            worker.terminate()
        assert worker.wait(60) in (0, -signal.SIGKILL)


def far_models(h: Home, *arguments: str) -> None:
    subprocess.run([os.path.join(h.programs, "wavemill"), "models", *arguments], env={**h.environment, "WAVEMILL_HOME": h.path("far")},
                   check=True, capture_output=True)


def same_files(one: str, other: str) -> None:
    subprocess.run(["diff", "-r", one, other], check=True)
    assert glob.glob(os.path.join(one, "*/*/*")), one
    no_parts(one)
    no_parts(other)


def at_work(h: Home, name: str = "far") -> list[str]:
    return glob.glob(h.path(f"{name}/objects/separated/.wavemill-*"))


def results(line: dict) -> dict:
    """What must not depend on where it was made."""
    stems = [{k: v for k, v in s.items() if k not in ("path", "object", "bytes")} for s in line["results"]["stems"]]
    return {**line["results"], "folder": None, "stems": stems}


def the_same_stems() -> None:
    with Home() as h:
        song, _ = song_of_the_case(h)
        h.run("models", "import", SMALL, "--name", "small")
        far_models(h, "import", SMALL, "--name", "small")
        songs = [DRUMS, MUSIC, song, os.path.join(DATA, "music_pluck_stereo_48k.m4a")]
        runs = ((songs, "hpss", "--float32"), (songs, "center", "--flac", "--stems", "sides"), ([song], "small", "--two-stems", "vocals"))
        want = [h.lines("separate", "--model", *options, "--out", h.path("here"), *paths) for paths, *options in runs]
        with service(h, "--no-workers") as (_, address), far(h, address):
            for (paths, *options), lines in zip(runs, want):
                got = {x["input"]["path"]: x for x in h.lines("separate", "--upload", "--model", *options, "--out", h.path("there"), *paths)}
                assert len(got) == len(paths)
                for line in lines:
                    again = got[line["input"]["path"]]
                    assert results(again) == results(line) and again["input"] == line["input"], (again, line)
                    assert again["results"]["folder"] == line["results"]["folder"].replace("/here/", "/there/")
                    assert all(s["bytes"] == os.path.getsize(s["path"]) for s in again["results"]["stems"])
            assert h.lines("separate", "--upload", "--skip-existing", "--model", "hpss", "--out", h.path("there"), *songs) == []
            # one that cannot be read here goes as its path, and costs itself
            lines = {os.path.basename(x["input"]["path"]): x for x in
                     h.lines("separate", "--upload", "--model", "hpss", "--out", h.path("some"), MUSIC, h.path("gone.wav"), code=1)}
            assert "--upload" in lines["gone.wav"]["error"]["message"] and "results" in lines[os.path.basename(MUSIC)], lines
            assert not at_work(h) and not os.listdir(h.path("far/objects/separated"))
        same_files(h.path("here"), h.path("there"))
        # and without another machine
        h.run("separate", "--upload", "--model", "hpss", "--float32", "--out", h.path("alone"), *songs)
        for path in glob.glob(h.path("alone/*/*/*")):
            subprocess.run(["cmp", path, path.replace("/alone/", "/here/")], check=True)
        assert not os.listdir(h.path("home/objects/separated"))


def models_are_those_of_the_worker() -> None:
    with Home() as h:
        song, _ = song_of_the_case(h)
        h.run("models", "import", SMALL, "--name", "small")
        with service(h, "--no-workers") as (_, address), far(h, address):
            (line,) = h.lines("separate", "--upload", "--model", "small", "--out", h.path("o"), song, code=1)
            assert line["error"]["class"] == "INPUT" and h.path("far/models") in line["error"]["message"], line
            assert "there is no model 'small'" in line["error"]["message"] and not os.path.exists(h.path("o/small")), line
            done = h.run("separate", "--upload", "--model", SMALL, "--out", h.path("o"), song, code=2)
            assert b"by its name" in done.stderr, done.stderr
            # another one of that name: its last weight differs by its last bit
            with open(SMALL, "rb") as f:
                data = bytearray(f.read())
            data[-4] ^= 1
            with open(h.path("other.safetensors"), "wb") as f:
                f.write(data)
            far_models(h, "import", h.path("other.safetensors"), "--name", "small")
            done = h.run("separate", "--upload", "--model", "small", "--out", h.path("o"), song)
            assert done.stderr.count(b"is not the one of this machine") == 1, done.stderr
            far_models(h, "remove", "small")
            far_models(h, "import", SMALL, "--name", "small")
            done = h.run("separate", "--upload", "--model", "small", "--out", h.path("o"), song)
            assert b"not the one" not in done.stderr, done.stderr


def paths_stay_here() -> None:
    """A worker of another machine is never given what only this one can do, and may share what both can."""
    with Home() as h, service(h, "--threads", "1") as (_, address), far(h, address), Client(h.home) as client:
        wait_for(lambda: len(workers(client)) == 2)
        for i in range(4):
            h.run("separate", "--model", "center", "--out", h.path(f"o{i}"), *AUDIO[:4], code=None)
        assert not os.path.exists(h.path("far/objects/separated"))
        for i in range(20):
            h.run("separate", "--upload", "--model", "center", "--out", h.path("u"), DRUMS, MUSIC)
            if os.path.exists(h.path("far/objects/separated")) and os.path.exists(h.path("home/objects/separated")):
                break
        assert i < 19, "one of the two has had nothing to do"


def submitted_and_fetched() -> None:
    with Home() as h, service(h, "--no-workers") as (_, address), far(h, address):
        done = h.run("submit", "separate", "--upload", "--out", h.path("o"), MUSIC, code=2)
        assert b"watch JOB --out" in done.stderr
        job = str(h.lines("submit", "separate", "--upload", "--model", "hpss", DRUMS, MUSIC)[0]["job"])
        lines = h.lines("watch", job)
        stems = {s["name"]: s for x in lines for s in x["results"]["stems"] if x["input"]["path"] == MUSIC}
        assert all(x["results"]["folder"] is None for x in lines) and all(s["path"] is None for s in stems.values())
        text = h.run("watch", job).stdout.decode()
        assert stems["residual"]["object"][:12] in text and not os.path.exists(h.path("o")), text
        h.run("separate", "--upload", "--model", "hpss", "--out", h.path("direct"), DRUMS, MUSIC)
        lines = h.lines("watch", job, "--out", "o", cwd=h.folder)
        assert {x["results"]["folder"] for x in lines} == {h.path("o/hpss/" + n) for n in ("drums_tabla_stereo_44k", "music_stereo_44k")}
        same_files(h.path("direct"), h.path("o"))
        # an object that is gone costs its song: told, and nothing of that one is there
        name = stems["residual"]["object"]
        os.unlink(h.path(f"home/objects/queue/{name[:2]}/{name}"))
        lines = {x["input"]["path"]: x for x in h.lines("watch", job, "--out", h.path("less"), code=1)}
        assert lines[MUSIC]["error"]["class"] == "INPUT" and "no such object" in lines[MUSIC]["error"]["message"], lines[MUSIC]
        assert "results" in lines[DRUMS] and os.listdir(h.path("less/hpss")) == ["drums_tabla_stereo_44k"]
        done = h.run("watch", job, "--out", h.path("less"), code=1)
        assert b"failed: " + MUSIC.encode() in done.stderr and h.path("less/hpss/drums") in done.stdout.decode()
        # what cannot be written here costs as much
        with open(h.path("file"), "wb"):
            pass
        (line,) = h.lines("separate", "--upload", "--model", "hpss", "--out", h.path("file"), DRUMS, code=1)
        assert line["error"]["class"] == "TRANSIENT" and "cannot make the folder" in line["error"]["message"], line


def whoever_is_killed() -> None:
    """Worker, compute process and scheduler in turn, while it is separated and while stems go up: the stems are the same."""
    with Home() as h:
        song = long_song(h.path("song.wav"), 60)
        h.run("separate", "--model", "hpss", "--out", h.path("want"), song)
        with service(h, "--no-workers") as (_, address):
            for turn in range(3):
                out = h.path(f"o{turn}")
                with far(h, address, f"far{turn}") as worker:
                    process = h.start("separate", "--upload", "--model", "hpss", "--out", out, song)
                    wait_for(lambda: at_work(h, f"far{turn}"))  # pylint: disable=cell-var-from-loop
                    time.sleep(0.2 * turn)
                    if turn == 0:
                        worker.kill()
                    for pid in h.processes("wavemill-scheduler") if turn == 1 else []:
                        os.kill(int(pid), signal.SIGKILL)
                    if turn == 2:  # the way is blocked for a while, then the scheduler is another
                        (pid,) = h.processes("wavemill-scheduler")
                        os.kill(int(pid), signal.SIGSTOP)
                        time.sleep(1)
                        os.kill(int(pid), signal.SIGKILL)
                    with far(h, address, "second"):
                        assert process.wait(100) == 0, process.stderr.read()
                same_files(h.path("want"), out)
                assert turn == 0 or not at_work(h, f"far{turn}")


def the_same_scores() -> None:
    """The files of a track as objects; what cannot be read costs its track, and so does an object that is not there."""
    with Home() as h:
        both = ("--reference", *put_sets(h)[:1], "--estimate", h.path("separated"))
        want = h.lines("score", *both)
        with service(h, "--no-workers") as (_, address), far(h, address):
            got = {x["results"]["track"]: x for x in h.lines("score", "--upload", *both)[:-1]}
            assert len(got) == len(want) - 1
            for line in want[:-1]:
                again = got[line["results"]["track"]]
                assert all(again[k] == line[k] for k in ("results", "params", "input", "warnings")), (again, line)
            job = str(h.lines("submit", "score", "--upload", "--no-bss", *both)[0]["job"])
            quick = {x["results"]["track"]: x["results"] for x in h.lines("watch", job)}
            want = {x["results"]["track"]: x["results"] for x in h.lines("score", "--upload", "--no-bss", *both)[:-1]}
            assert quick == want
            with open(h.path("true/09/stem0.wav"), "wb"):
                pass
            lines = {os.path.basename(x["input"]["path"]): x for x in h.lines("score", "--upload", "--no-bss", *both, code=1)[:-1]}
            assert [n for n in lines if "error" in lines[n]] == ["09"], lines
            assert "reference stem0.wav: the file is empty" in lines["09"]["error"]["message"], lines["09"]
            with Client(h.home) as client:
                stem = {1: b"a", 2: b"a.wav", 3: b"b.wav", 4: bytes(32), 5: bytes(32)}
                (outcome,) = client.outcomes(client.submit("score_objects", [b"/a"], item_params=[{2: [stem]}]))
                assert outcome[2] == 3 and outcome[3] == 1 and "no such object" in outcome[4], outcome


def interrupted() -> None:
    """Ctrl-C ends the job, and nothing is left, here or there."""
    with Home() as h, service(h, "--no-workers") as (_, address), far(h, address):
        song = long_song(h.path("song.wav"), 60)
        process = h.start("separate", "--upload", "--model", "hpss", "--out", h.path("o"), song)
        wait_for(lambda: at_work(h))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        wait_for(lambda: not os.listdir(h.path("far/objects/separated")))
        assert not glob.glob(h.path("o/hpss/song/*"))
        no_parts(h.path("o"))


if __name__ == "__main__":
    journey.main([the_same_stems, models_are_those_of_the_worker, paths_stay_here, submitted_and_fetched, whoever_is_killed, the_same_scores, interrupted])
