"""What is more important than a training that runs: another training, its own pause, its own priority. Whoever makes room goes on
later, to the same model. Scheduler and worker have one thread, so that there is one place."""
import contextlib
import functools
import json
import signal
import struct

import journey
from journey import Home
from test_train import FAST, make_dataset, model, wait_for

STEPS = 1500
LONG = ("--steps", str(STEPS), "--batch", "4", "--validate", "50", "--no-changes", "--previews", "1", "--seed", "9", "--patience", "1000")


@functools.cache
def undisturbed() -> bytes:
    with Home() as h:
        make_dataset(h)
        h.run("train", "tones", "--name", "long", *LONG, "--threads", "1")
        return model(h, "long")


def has_saved(h: Home) -> bool:
    """A state behind the first, which is of no step: two places with numbers (workers/slots.h)."""
    with contextlib.suppress(FileNotFoundError, struct.error), open(f"{h.home}/models/long/states", "rb") as f:
        head = f.read(128)
        return max(struct.unpack_from("<Q", head, 64 * i + 8)[0] for i in range(2)) >= 2
    return False


@contextlib.contextmanager
def trains():
    """A home with a server of one thread, on which a training runs that has saved."""
    with Home() as h:
        make_dataset(h)
        serving = h.serve("--threads", "1")
        running = h.start("train", "tones", "--name", "long", *LONG, "--json")
        wait_for(lambda: has_saved(h))
        job = h.lines("jobs", "--kind", "train")[0]["job"]
        yield h, running, str(job)
        if running.poll() is None:
            running.send_signal(signal.SIGINT)
            running.communicate()
        serving.terminate()
        serving.communicate()


def shown(h: Home, job: str) -> dict:
    return h.lines("show", job)[0]


def ends_well(h: Home, running, resumed: bool = True) -> None:
    out, said = running.communicate(timeout=120)
    result = json.loads(out.splitlines()[-1])["results"]
    assert running.returncode == 0 and result["steps"] == STEPS, (running.returncode, said)
    assert not resumed or result["resumed_from"] > 0, result
    assert model(h, "long") == undisturbed()


def another_training() -> None:
    with trains() as (h, running, job):
        done = h.run("train", "tones", "--name", "urgent", *FAST, "--priority", "5")
        assert b"60 steps" in done.stdout and shown(h, job)["items"]["done"] == 0, done
        assert any("makes room for what is more important" in line["text"] for line in h.lines("logs", job))
        ends_well(h, running)
        assert shown(h, job)["items"]["done"] == 1 and shown(h, job)["attempts"] == 1  # making room is no failed attempt


def one_that_is_as_important() -> None:
    with trains() as (h, running, job):
        h.run("train", "tones", "--name", "later", *FAST, "--priority", "0")
        assert shown(h, job)["items"]["done"] == 1
        ends_well(h, running, resumed=False)


def paused() -> None:
    with trains() as (h, running, job):
        assert h.lines("pause", job)[0]["paused"]
        wait_for(lambda: shown(h, job)["items"]["leased"] == 0, 5)
        h.run("train", "tones", "--name", "meanwhile", *FAST)  # there is room
        assert shown(h, job)["items"]["queued"] == 1
        h.run("resume", job)
        ends_well(h, running)


def of_less_priority() -> None:
    with trains() as (h, running, job):
        h.run("priority", job, "-7")  # what comes later too
        other = h.start("train", "tones", "--name", "other", *FAST)
        assert other.wait(timeout=60) == 0 and shown(h, job)["items"]["done"] == 0
        other.communicate()
        ends_well(h, running)


def priorities_that_are_none() -> None:
    with Home() as h:
        for command in ("train", "sweep", "separate", "analyze", "features", "score"):
            for text in ("1001", "-1001", "x", "1.5", ""):
                said = h.run(command, "--priority", text, "none", code=2).stderr
                assert b"--priority" in said, (command, text, said)


if __name__ == "__main__":
    journey.main([another_training, one_that_is_as_important, paused, of_less_priority, priorities_that_are_none])
