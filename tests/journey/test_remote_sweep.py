"""Sweeps by workers of other homes, over tcp on this machine: states go from worker to worker as objects, and the command says who
goes on. The table and the bytes of a sweep here, whoever is killed, interrupted or forgotten."""
import glob
import json
import os
import signal
import time

import journey
from journey import Home
from test_remote import service
from test_remote_separate import far
from test_remote_train import checkpoints, fake_attempt, idle_device
from test_sweep import FAST, read, table
from test_train import files, make_dataset, model, wait_for
from wavemill_client import COMMITS, LEAVE, REPORT

FOUR = ("--rates", "1e-3,4e-3", "--seeds", "2", "--halving", "2", *FAST)  # rounds of 4, 2 and 1, to steps 15, 30 and 60
JOURNAL = "queue"


def rows_of(lines: list[dict]) -> list[dict]:
    return [{k: v for k, v in x.items() if k not in ("sweep", "model")} for x in table(lines)]


def records(h: Home, name: str, round_: int) -> list[str]:
    return glob.glob(os.path.join(h.home, f"sweeps/{name}/results/*.round-{round_}"))


def the_same_table() -> None:
    """Two workers without this machine's disk, one of them killed in the midst of a round."""
    with Home() as h:
        make_dataset(h)
        here = rows_of(h.lines("sweep", "tones", "--name", "here", *FOUR, "--keep", "1"))
        assert not h.wait_for_end()
        with service(h, "--no-workers") as (_, address), far(h, address, "far1"):
            with far(h, address, "far0") as worker:
                running = h.start("sweep", "tones", "--name", "there", *FOUR, "--upload", "--json")
                wait_for(lambda: records(h, "there", 0) or running.poll() is not None)
                worker.kill()
            out, said = running.communicate(timeout=120)
            assert running.returncode == 0, (out, said)
            there = [journey.check_line(x) for x in out.splitlines()]
            assert rows_of(there) == here, (there, here)
            assert [x["resumed_from"] for x in there] == [0.5, 0.25, None, None], "a round goes on where the last one ended"
            assert there[0]["model"] == "there" and said.count(b"   trial ") == 4 + 2 + 1, said
            assert files(h, "there") == files(h, "here"), files(h, "there")
            for name in files(h, "here"):
                if name not in ("model.json", "training.json", "metrics.jsonl"):  # these have times in them
                    assert read(h.home, "models/there", name) == read(h.home, "models/here", name), name
            h.run("models", "verify", "there")
            for folder in ("far0", "far1"):
                assert not glob.glob(h.path(f"{folder}/sweeps")) and not glob.glob(h.path(f"{folder}/models/*")), folder
            again = h.run("sweep", "tones", "--name", "there", "--resume")
            assert b"tiny, rate" in again.stdout and not again.stderr, again
        h.run("sweep", "tones", "--name", "alone", *FOUR, "--upload")
        assert model(h, "alone") == model(h, "here")


def jobs(h: Home) -> list[int]:
    return [j["job"] for j in h.lines("jobs") if j["name"] == "s"]


def interrupted_cancelled_forgotten() -> None:
    with Home() as h:
        make_dataset(h)
        whole = rows_of(h.lines("sweep", "tones", "--name", "whole", *FOUR))
        assert not h.wait_for_end()
        resume = ("sweep", "tones", "--name", "s", "--resume")
        with service(h, "--no-workers") as (_, address):
            running = h.start("sweep", "tones", "--name", "s", *FOUR, "--upload")
            (job,) = wait_for(lambda: jobs(h))
            assert b"another command is at s" in h.run(*resume, code=1).stderr
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=60)
            assert running.returncode == 130 and b"interrupted; job %d, round 1 of s, stays" % job in said, said
            # It is waited for, and when it is cancelled, sent again by the next.
            running = h.start(*resume)
            time.sleep(1)
            assert jobs(h) == [job] and running.poll() is None
            h.run("cancel", str(job))
            _, said = running.communicate(timeout=60)
            assert running.returncode == 1 and b"job %d was cancelled: --resume goes on with s" % job in said, said
            running = h.start(*resume)
            wait_for(lambda: [x for x in jobs(h) if x != job])
            with far(h, address):
                wait_for(lambda: records(h, "s", 0))
                running.kill()
            _, said = running.communicate()
            assert said.count(b"the job of round 1 was cancelled: what is left of it is sent again") == 1, said
        assert not h.wait_for_end()
        # A scheduler that has forgotten it: of those that have a record nothing is done again.
        with open(os.path.join(h.home, "sweeps/s/sent.json"), encoding="utf-8") as f:
            round_ = json.load(f)["round"]
        known = records(h, "s", round_)
        for path in known[:-1] if round_ == 0 else known:
            os.remove(path)
        left = records(h, "s", 0)
        before = {path: os.stat(path).st_ino for path in left}
        (journal,) = glob.glob(os.path.join(h.home, JOURNAL))
        os.rename(journal, journal + ".away")
        with service(h, "--no-workers") as (_, address), far(h, address):
            done = h.run(*resume, "--json")
            assert done.stderr.count(b"the job of round %d is forgotten: what is left of it is sent again" % (round_ + 1)) == 1, done.stderr
            assert b"begun anew" not in done.stderr, done.stderr
        assert before and before == {path: os.stat(path).st_ino for path in left}, "done again"
        assert rows_of([json.loads(x) for x in done.stdout.splitlines()]) == whole, (done.stdout, whole)
        assert model(h, "s") == model(h, "whole")


def interrupt(running) -> bytes:
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    return said


def the_same_job() -> None:
    """With its booking, whatever its priority is; and where a round is done again, so is all behind it."""
    with Home() as h:
        make_dataset(h)
        whole = rows_of(h.lines("sweep", "tones", "--name", "whole", *FOUR))
        assert not h.wait_for_end()
        resume = ("sweep", "tones", "--name", "s", "--resume")
        with service(h, "--no-workers") as (_, address):
            with idle_device(h):
                running = h.start("sweep", "tones", "--name", "s", *FOUR, "--upload", "--priority", "5")
                wait_for(lambda: [j for j in h.lines("jobs") if j["name"] == "s" and j["priority"] == 5])
                assert b"an hour after its end it is forgotten" in interrupt(running)
            for given, want in (((), 5), (("--priority", "-3"), -3)):
                running = h.start(*resume, *given)
                time.sleep(1)
                assert b"sent again" not in interrupt(running)
                (job,) = [j for j in h.lines("jobs") if j["name"] == "s"]
                assert job["priority"] == want and job["device_bytes"] > 64 << 20, job
            h.run("cancel", str(job["job"]))  # nobody is there who has so much; what is sent again books nothing
            running = h.start(*resume)
            with far(h, address) as worker:
                wait_for(lambda: len(records(h, "s", 1)) == 2)
                worker.kill()
            interrupt(running)
            assert [j.get("device_bytes") or 0 for j in h.lines("jobs") if j["name"] == "s" and j["state"] != "cancelled"] == [0, 0, 0]
            again, other = sorted(records(h, "s", 1))
            os.remove(again.replace("round-1", "round-0"))
            running = h.start(*resume)
            wait_for(lambda: len(jobs(h)) == 5)
            assert records(h, "s", 1) == [other], "of a state that was made again"
            with far(h, address):
                out, said = running.communicate(timeout=120)
            assert running.returncode == 0, (out, said)
        done = h.lines(*resume)
        assert rows_of(done) == whole, (done, whole)


def one_that_failed() -> None:
    """In a round that is over: the job of the next is waited for, and it is not begun again."""
    with Home() as h:
        make_dataset(h)
        h.run("sweep", "tones", "--name", "whole", *FOUR)
        assert not h.wait_for_end()
        with service(h, "--no-workers") as (_, address):
            running = h.start("sweep", "tones", "--name", "s", *FOUR, "--upload")
            fake, lease = fake_attempt(h, None)
            fake.ask(REPORT, {1: [{1: lease[2], 2: 1, 3: "as the test wants it"}]}, COMMITS)
            fake.send(LEAVE, {})
            fake.close()
            with far(h, address, "far0") as worker:
                wait_for(lambda: len(records(h, "s", 0)) == 3)
                worker.kill()
            wait_for(lambda: len(jobs(h)) == 2)
            said = interrupt(running)
            assert b"as the test wants it" in said and b"round 2 of s, stays" in said, said
            running = h.start("sweep", "tones", "--name", "s", "--resume", "--json")
            time.sleep(1)
            assert len(jobs(h)) == 2 and running.poll() is None, "begun again"
            with far(h, address, "far1"):
                out, said = running.communicate(timeout=120)
            assert running.returncode == 1 and b"sent again" not in said, (out, said)  # not all came of it
            assert len(jobs(h)) == 3, h.lines("jobs")
            rows = [json.loads(x) for x in out.splitlines()]
            assert [(x["state"], x.get("failure")) for x in rows] == [("finished", None), ("stopped", None), ("stopped", None),
                                                                      ("failed", "as the test wants it")], rows


def lost_objects() -> None:
    """States that the scheduler has no more cost time; models that it has no more are trained again: the same bytes."""
    with Home() as h:
        make_dataset(h)
        whole = rows_of(h.lines("sweep", "tones", "--name", "whole", *FOUR))
        assert not h.wait_for_end()
        taken = os.path.join(h.home, "models", "s")
        with service(h, "--no-workers") as (_, address):
            running = h.start("sweep", "tones", "--name", "s", *FOUR, "--upload")
            with far(h, address, "far0") as worker:
                wait_for(lambda: len(records(h, "s", 0)) == 4)
                worker.kill()
            for path in checkpoints(h):
                os.remove(path)
            os.makedirs(taken)
            with far(h, address, "far1"):
                _, said = running.communicate(timeout=120)
                assert running.returncode == 1 and b"something else in" in said, said
                assert b"round 2: begun anew: its checkpoint: " in said, said
                os.rmdir(taken)
                best = next(x["trial"] for x in whole if x["rank"] == 1)
                folder = os.path.join(h.home, f"sweeps/s/trial-{best:03d}")
                for name in ("model.json", "model.safetensors"):
                    os.remove(os.path.join(folder, name))
                size = os.path.getsize(os.path.join(h.home, "models/whole/model.safetensors"))
                (stored,) = [x for x in glob.glob(os.path.join(h.home, "objects/queue/??/*")) if os.path.getsize(x) == size]
                os.remove(stored)
                gone = h.run("sweep", "tones", "--name", "s", "--resume", code=1)
                assert b"the model of trial %d: model.safetensors: " % best in gone.stderr and b"--resume trains its last round again" in gone.stderr, gone
                assert not glob.glob(os.path.join(folder, "*.part")) and not os.path.exists(taken)
                done = h.run("sweep", "tones", "--name", "s", "--resume", "--json")
        assert rows_of([json.loads(x) for x in done.stdout.splitlines()]) == whole, (done.stdout, whole)
        assert model(h, "s") == model(h, "whole")


def what_is_refused() -> None:
    with Home() as h:
        make_dataset(h)
        h.run("sweep", "tones", "--name", "l", *FOUR, "--halving", "4", "--seeds", "1", "--steps", "15")
        four = ("--name", "s", *FOUR, "--upload")
        assert b"no --detach" in h.run("sweep", "tones", *four, "--detach", code=2).stderr
        assert not os.path.exists(os.path.join(h.home, "sweeps/s"))
        running = h.start("sweep", "tones", *four)
        wait_for(lambda: len(records(h, "s", 0)) == 4)
        running.send_signal(signal.SIGINT)
        running.communicate()
        assert not h.wait_for_end()
        assert b"no --detach" in h.run("sweep", "tones", "--name", "s", "--resume", "--detach", code=2).stderr
        sent = os.path.join(h.home, "sweeps/s/sent.json")
        with open(sent, encoding="utf-8") as f:
            told = json.load(f)
        for key, value, text in (("packs", {"tiny": "0" * 64}, b"the sounds are others than those that s was begun with"),
                                 ("packs", {"tiny": "0"}, b"are missing"), ("trials", [4], b"are missing"), ("round", 3, b"are missing"),
                                 ("schema", 2, b"are missing"), ("booked_bytes", -1, b"are missing"), ("booked_bytes", "1", b"are missing"),
                                 ("packs", {f"p{i}": 64 * "0" for i in range(8)}, b"has sounds of 8 presets, and none of tiny")):
            with open(sent, "w", encoding="utf-8") as f:
                json.dump({**told, key: value}, f)
            assert text in h.run("sweep", "tones", "--name", "s", "--resume", code=1).stderr, (key, value)
        with open(os.path.join(h.home, "sweeps/s/sweep.json"), encoding="utf-8") as f:
            begun = json.load(f)
        for keep in (0, -1, 5, "1"):
            with open(os.path.join(h.home, "sweeps/s/sweep.json"), "w", encoding="utf-8") as f:
                json.dump({**begun, "keep": keep}, f)
            assert b"keep is none of 1 to 4" in h.run("sweep", "tones", "--name", "s", "--resume", code=1).stderr, keep
        with open(os.path.join(h.home, "sweeps/s/sweep.json"), "w", encoding="utf-8") as f:
            json.dump({**begun, "upload": False}, f)
        assert b"begun without --upload" in h.run("sweep", "tones", "--name", "s", "--resume", "--upload", code=2).stderr


if __name__ == "__main__":
    journey.main([the_same_table, interrupted_cancelled_forgotten, the_same_job, one_that_failed, lost_objects, what_is_refused])
