"""Trainings by workers of other homes, over tcp on this machine: sounds, states and models travel as objects. The same bytes as a
training here, whoever is killed; what cannot be gone on from is said, and never used.

WAVEMILL_KILLS sets how many kills one training has to survive (2); WAVEMILL_STEPS how long those are that are killed (2500 steps, which
must take so long that they are still running then; a build that is slower needs fewer)."""
import glob
import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import journey
import msgpack
from journey import Home
from test_remote import Client, service, wait_for, workers
from test_remote_separate import far
from test_train import FAST, files, make_dataset, model
from wavemill_client import ACCEPTED, COMMITS, ENGAGED, JOB, LEAVE, READY, REPORT, SHOW, SUBMIT, Peer, Worker, run_folder

KILLS = int(os.environ.get("WAVEMILL_KILLS") or 2)
STEPS = int(os.environ.get("WAVEMILL_STEPS") or 2500)
LONG = ("--batch", "4", "--validate", "30", "--seed", "7", "--previews", "1", "--patience", "100000")
CHECKPOINT, SAVED, PUT, STORED = 50, 51, 70, 71


def read(h: Home, name: str, file: str) -> bytes:
    with open(os.path.join(h.home, "models", name, file), "rb") as f:
        return f.read()


def show(client: Client, job: int) -> dict:
    return client.ask(SHOW, {1: job}, JOB)


def submit(client: Client, kind: str, pack: str, item: dict) -> int:
    return client.ask(SUBMIT, {1: kind, 7: [{1: pack.encode(), 3: msgpack.packb(item)}], 8: True}, ACCEPTED)[1]


def running_job(h: Home, name: str) -> int:
    (job,) = wait_for(lambda: [j["job"] for j in h.lines("jobs") if j["name"] == name])
    return job


def checkpoints(h: Home) -> set[str]:
    """Objects of the queue that are states, by their first bytes."""
    found = set()
    for path in glob.glob(os.path.join(h.home, "objects/queue/??/*")):
        try:
            with open(path, "rb") as f:
                if f.read(8) == b"WMVAEFIT":
                    found.add(path)
        except OSError:
            continue
    return found


def the_same_model() -> None:
    """A worker without this machine's disk, and one of this machine: the bytes of a training in its folder."""
    with Home() as h:
        make_dataset(h)
        h.run("train", "tones", "--name", "here", *FAST)
        with service(h, "--no-workers") as (_, address), far(h, address):
            lines = h.lines("train", "tones", "--name", "there", *FAST, "--upload")
            result = lines[-1]["results"]
            assert [x["validation"]["step"] for x in lines if "validation" in x] == [15, 30, 45, 60], lines
            assert result["steps"] == 60 and lines[-1]["input"]["path"].endswith("models/there"), lines
            assert files(h, "there") == files(h, "here"), files(h, "there")
            for name in files(h, "here"):
                if name not in ("begun.json", "model.json", "training.json", "metrics.jsonl"):  # these have times in them
                    assert read(h, "there", name) == read(h, "here", name), name
            h.run("models", "verify", "there")
            assert [x["model"] for x in h.lines("models", "list")] == ["here", "there"]
            again = h.run("train", "tones", "--name", "there", "--resume")
            assert b"is finished" in again.stderr
            assert not glob.glob(h.path("far/models/*")) and not glob.glob(h.path("far/objects/separated/*"))
        h.run("train", "tones", "--name", "alone", *FAST, "--upload")
        assert model(h, "alone") == model(h, "here")


def killed_and_gone_on_with_elsewhere() -> None:
    """Workers are killed in turn; each comes with a home of its own, so that nothing but the queue's objects can help. One that goes
    on saves after its first validation, however fast the machine is."""
    settings = ("--steps", str(STEPS), *LONG)
    with Home() as h:
        make_dataset(h)
        h.run("train", "tones", "--name", "whole", *settings)
        with service(h, "--no-workers") as (_, address):
            running = h.start("train", "tones", "--name", "killed", *settings, "--upload", "--json")
            for turn in range(KILLS):
                before = checkpoints(h)
                with far(h, address, f"far{turn}") as worker:
                    wait_for(lambda: checkpoints(h) - before or running.poll() is not None)  # pylint: disable=cell-var-from-loop
                    assert running.poll() is None, running.communicate()
                    time.sleep(0.5)  # the object is there; that it is the item's checkpoint is said next
                    worker.kill()
            with far(h, address, "last"):
                out, said = running.communicate(timeout=300)
            assert running.returncode == 0, (out, said)
            assert b"begun anew" not in said and json.loads(out.splitlines()[-1])["results"]["resumed_from"] > 0, (out[-800:], said)
        assert model(h, "killed") == model(h, "whole"), "other bytes"


def the_job_stays() -> None:
    """The command is killed, the job paused, the worker and the scheduler killed: --resume fetches what came of it."""
    settings = ("--steps", str(STEPS * 6 // 5), *LONG)
    with Home() as h:
        make_dataset(h)
        h.run("train", "tones", "--name", "whole", *settings)
        with service(h, "--no-workers") as (_, address):
            running = h.start("train", "tones", "--name", "kept", *settings, "--upload")
            with far(h, address, "none") as worker:
                wait_for(lambda: checkpoints(h))
                worker.kill()
            with far(h, address, "first") as worker:
                wait_for(lambda: len(checkpoints(h)) > 1)
                running.kill()
                running.communicate()
                job = str(running_job(h, "kept"))
                h.run("pause", job)
                worker.kill()
            for pid in h.processes("wavemill-scheduler"):
                os.kill(int(pid), signal.SIGKILL)
            with far(h, address, "second"):
                wait_for(lambda: h.run("resume", job, code=None).returncode == 0)
                with open(os.path.join(h.home, "models/kept/.config.json.part"), "wb") as f:  # of a command that was killed
                    f.write(b"half a file" * 1000)
                done = h.run("train", "tones", "--name", "kept", "--resume")
                assert b"begun anew" not in done.stderr and b"resumed" not in done.stderr, done.stderr
                assert model(h, "kept") == model(h, "whole")
                assert str(running_job(h, "kept")) == job
                assert not glob.glob(os.path.join(h.home, "models/kept/.*"))


def interrupted_and_cancelled() -> None:
    with Home() as h:
        make_dataset(h)
        h.run("train", "tones", "--name", "whole", *FAST)
        assert not h.wait_for_end()
        with service(h, "--no-workers") as (_, address):
            (line,) = h.lines("train", "tones", "--name", "d", *FAST, "--upload", "--detach")
            job = line["job"]
            running = h.start("train", "tones", "--name", "d", "--resume", "--progress", "json")
            wait_for(lambda: b'"train"' in running.stderr.readline())
            running.send_signal(signal.SIGINT)
            said = running.communicate(timeout=60)[1].decode()
            assert running.returncode == 130 and f"job {job} of d stays" in said, said
            again = h.lines("train", "tones", "--name", "d", "--resume", "--detach")
            assert again == [{"schema": 1, "job": job, "model": "d"}], again
            h.run("cancel", str(job))
            anew = h.run("train", "tones", "--name", "d", "--resume", "--detach")
            assert b"was cancelled: d is begun anew" in anew.stderr and not os.path.exists(os.path.join(h.home, "models/d/model.json")), anew
            with far(h, address):
                h.run("train", "tones", "--name", "d", "--resume")
            assert model(h, "d") == model(h, "whole")
            assert len([j for j in h.lines("jobs") if j["name"] == "d"]) == 2
            # one that failed is tried again, as the same job
            running = h.start("train", "tones", "--name", "f", *FAST, "--upload")
            fake, lease = fake_attempt(h, None)
            fake.ask(REPORT, {1: [{1: lease[2], 2: 1, 3: "as the test wants it"}]}, COMMITS)
            said = running.communicate(timeout=60)[1].decode()
            fake.send(LEAVE, {})
            fake.close()
            assert running.returncode == 1 and "as the test wants it" in said and files(h, "f") == ["begun.json"], said
            with far(h, address):
                said = h.run("train", "tones", "--name", "f", "--resume").stderr.decode()
            assert "is tried again" in said and "as the test" not in said and model(h, "f") == model(h, "whole"), said
            assert len([j for j in h.lines("jobs") if j["name"] == "f"]) == 1
            # one that is trained in its folder has its states there
            here = h.start("train", "tones", "--name", "here", *FAST)
            wait_for(lambda: os.path.exists(os.path.join(h.home, "models/here/begun.json")))
            here.send_signal(signal.SIGINT)
            here.communicate(timeout=60)
            refused = h.run("train", "tones", "--name", "here", "--resume", "--upload", code=None)
            assert refused.returncode and b"without --upload" in refused.stderr, refused
            # nobody of this machine is there for what needs its disk, and a worker elsewhere is not given it
            with far(h, address), Client(h.home) as client:
                pack, = glob.glob(os.path.join(h.home, "datasets/tones/packs/*.pack"))
                job = submit(client, "train", pack, {1: h.path("out").encode(), 2: "tiny", 3: 7})
                wait_for(lambda: workers(client))
                time.sleep(1)
                assert show(client, job)[7] == 1, "somebody took it"
                # and what any worker takes may not name a folder
                job = submit(client, "train_objects", pack, {1: h.path("out").encode(), 2: "tiny", 3: 7})
                (outcome,) = client.outcomes(job)
                assert outcome[2] == 3 and outcome[3] == 1 and "no folder" in outcome[4], outcome
                job = submit(client, "train_objects", "/no/such.pack", {2: "tiny", 3: 7})
                (outcome,) = client.outcomes(job)
                assert outcome[3] == 1 and "--upload" in outcome[4] and not os.path.exists(h.path("out")), outcome


def fake_attempt(h: Home, state: bytes | None) -> tuple[Worker, dict]:
    """Takes the item, saves this as if it were a state; the worker and its lease."""
    fake = Worker(run_folder(h.home), "fake", ["train_objects"], pid=1)
    lease = fake.take(1)[4][0]
    if state is not None:
        name = hashlib.blake2b(state, digest_size=32).digest()
        for at in range(0, len(state), 1 << 19):
            fake.ask(PUT, {1: name, 2: len(state), 3: at, 4: state[at:at + (1 << 19)]}, STORED)
        assert fake.ask(CHECKPOINT, {1: lease[2], 2: name, 3: 0.5}, SAVED)[2] == 1
    return fake, lease


@contextmanager
def idle_device(h: Home) -> Iterator[None]:
    """A worker whose device has memory to book, and that takes nothing; nobody else is there."""
    fake = Peer(f"ipc://{run_folder(h.home)}/worker.sock")
    fake.ask(READY, {1: "fake", 2: 1, 3: "emulated", 5: ["train_objects"], 8: "fake", 9: 1 << 40}, ENGAGED)
    yield
    fake.send(LEAVE, {})
    fake.close()
    with Client(h.home) as client:
        wait_for(lambda: not workers(client))


def the_same_job_or_another() -> None:
    """A priority is none of what is sent under a key; a job that was forgotten books what can be booked now."""
    with Home() as h:
        make_dataset(h)
        h.run("train", "tones", "--name", "whole", *FAST)
        assert not h.wait_for_end()
        resume = ("train", "tones", "--name", "d", "--resume", "--detach")
        with service(h, "--no-workers"):
            with idle_device(h):
                (sent,) = h.lines("train", "tones", "--name", "d", *FAST, "--upload", "--priority", "5", "--detach")
            for given, want in (((), 5), (("--priority", "-3"), -3)):
                assert h.lines(*resume, *given) == [sent]
                (job,) = [j for j in h.lines("jobs") if j["name"] == "d"]
                assert job["priority"] == want and job["device_bytes"] > 64 << 20, job
        assert not h.wait_for_end()
        journal = os.path.join(h.home, "queue")
        os.rename(journal, journal + ".away")
        with service(h, "--no-workers") as (_, address):
            anew = h.run(*resume)
            assert b"has forgotten the job of d: it is begun anew" in anew.stderr, anew
            found = {j["state"]: j.get("device_bytes") or 0 for j in h.lines("jobs") if j["name"] == "d"}
            assert len(found) == 2 and found.pop("cancelled") > 64 << 20 and list(found.values()) == [0], found
            again = h.run(*resume)
            assert again.stdout == anew.stdout and not again.stderr, again
            with far(h, address):
                h.run(*resume[:-1])
            assert model(h, "d") == model(h, "whole")


def states_that_are_of_no_use() -> None:
    """Each is named, and the training begins anew: the bytes are those of one that nobody disturbed."""
    with Home() as h:
        make_dataset(h)
        h.run("train", "tones", "--name", "whole", *FAST)
        with service(h, "--no-workers") as (_, address):
            states = {}
            for seed in ("7", "8"):
                before = checkpoints(h)
                with far(h, address):
                    h.run("train", "tones", "--name", f"seed{seed}", *FAST[:-1], seed, "--upload")
                path, = checkpoints(h) - before
                with open(path, "rb") as f:
                    states[seed] = f.read()
            good = states["7"]
            cases = ((good, None, "as it was saved"),
                     (good[:8] + b"\x09" + good[9:], "version 9", "of another version"),
                     (good[:70000] + bytes([good[70000] ^ 1]) + good[70001:], "were altered", "one bit"),
                     (good[:-1], "were altered or are missing", "cut short"),
                     (good[:40], "is none", "hardly anything"),
                     (b"no state" * 100000, "no checkpoint of a training", "other bytes"),
                     (states["8"], "other settings", "another seed, as another kind of processor would be"))
            for i, (state, said, why) in enumerate(cases):
                running = h.start("train", "tones", "--name", f"case{i}", *FAST, "--upload")
                fake, _ = fake_attempt(h, state)
                fake.send(LEAVE, {})
                with far(h, address):
                    err = running.communicate(timeout=60)[1].decode()
                fake.close()
                assert running.returncode == 0, (why, err)
                assert ("begun anew" in err and said in err) if said else "begun anew" not in err, (why, err)
                assert model(h, f"case{i}") == model(h, "whole"), why
            # the object is damaged where it lies, and so it is not given out
            running = h.start("train", "tones", "--name", "gone", *FAST, "--upload")
            fake, _ = fake_attempt(h, good + b"more")
            fake.send(LEAVE, {})
            name = hashlib.blake2b(good + b"more", digest_size=32).hexdigest()
            with open(os.path.join(h.home, "objects/queue", name[:2], name), "r+b") as f:
                f.seek(1000)
                f.write(b"other")
            with far(h, address):
                err = running.communicate(timeout=60)[1].decode()
            fake.close()
            assert running.returncode == 0 and "begun anew: its checkpoint" in err, err
            assert model(h, "gone") == model(h, "whole")


def results_that_are_no_model() -> None:
    """Names of files come from elsewhere: nothing leaves the model's folder, and nothing is a model that is not whole."""
    with Home() as h:
        make_dataset(h)
        h.run("train", "tones", "--name", "whole", *FAST)
        needed = ["config.json", "training.json", "metrics.jsonl", "model.safetensors"]
        with service(h, "--no-workers"):
            for i, (names, said) in enumerate(((needed[1:], "has no config.json"), (needed[:-1], "has no model.safetensors"),
                                               ([], "has no config.json"), *(([*needed, bad], "is no file of a model") for bad in (
                                                   "../x", "/tmp/x", ".x", "a//b", "a/", "", "previews/../../../x", "a/b/c/d", "a b", "a\nb",
                                                   "model.json", "begun.json", "states")))):
                running = h.start("train", "tones", "--name", f"case{i}", *FAST, "--upload")
                fake, lease = fake_attempt(h, None)
                data = b"some bytes"
                name = hashlib.blake2b(data, digest_size=32).digest()
                fake.ask(PUT, {1: name, 2: len(data), 4: data}, STORED)
                result = msgpack.packb({40: [{1: n, 2: name, 3: len(data)} for n in names]})
                fake.ask(REPORT, {1: [{1: lease[2], 4: result}]}, COMMITS)
                err = running.communicate(timeout=60)[1].decode()
                fake.send(LEAVE, {})
                fake.close()
                assert running.returncode and said in err, (names, err)
                assert files(h, f"case{i}") == ["begun.json"], (names, files(h, f"case{i}"))
            assert sorted(os.listdir(h.folder)) == ["home", "tones"]
            # all is named, and one is not there: nothing of it gets its name
            running = h.start("train", "tones", "--name", "part", *FAST, "--upload")
            fake, lease = fake_attempt(h, None)
            fake.ask(PUT, {1: name, 2: len(data), 4: data}, STORED)
            entries = [{1: n, 2: name if n != needed[-1] else bytes(32)} for n in needed]
            fake.ask(REPORT, {1: [{1: lease[2], 4: msgpack.packb({40: entries})}]}, COMMITS)
            err = running.communicate(timeout=60)[1].decode()
            fake.send(LEAVE, {})
            fake.close()
            assert running.returncode and "model.safetensors" in err and files(h, "part") == ["begun.json"], (err, files(h, "part"))


def killed_here_more_often_than_an_item_has_attempts() -> None:
    """In a folder too: what was kept between two kills gives the attempts back, and three of them are not the end."""
    with Home() as h:
        make_dataset(h)
        running = h.start("train", "tones", "--name", "m", "--steps", "100000", *LONG)
        states = os.path.join(h.home, "models/m/states")
        wait_for(lambda: os.path.exists(states) and os.path.getsize(states))
        for _ in range(4):
            before = os.stat(states).st_mtime_ns
            wait_for(lambda: os.stat(states).st_mtime_ns > before)  # pylint: disable=cell-var-from-loop
            time.sleep(1)  # the queue has heard of it
            (pid,) = h.processes("wavemill-compute")
            os.kill(int(pid), signal.SIGKILL)
            wait_for(lambda: [p for p in h.processes("wavemill-compute") if p != pid])  # pylint: disable=cell-var-from-loop
        assert running.poll() is None, running.communicate()
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=60)[1]
        assert running.returncode == 130 and b"CRASH" not in said and b"begun anew" not in said, said


def nobody_decodes() -> None:
    """Sounds are decoded on the scheduler's machine; where nobody is there who does it is said, and nothing is begun."""
    with Home() as h:
        make_dataset(h)
        with service(h, "--no-workers") as (_, address), far(h, address):
            running = h.start("train", "tones", "--name", "m", *FAST, "--upload")
            wait_for(lambda: b"wait to be decoded" in running.stderr.readline())
            running.send_signal(signal.SIGINT)
            assert running.wait(60) != 0 and not os.path.exists(os.path.join(h.home, "models/m"))


if __name__ == "__main__":
    journey.main([the_same_model, killed_and_gone_on_with_elsewhere, the_job_stays, interrupted_and_cancelled, the_same_job_or_another,
                  states_that_are_of_no_use, results_that_are_no_model, killed_here_more_often_than_an_item_has_attempts, nobody_decodes])
