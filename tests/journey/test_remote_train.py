"""Trainings by workers of other homes, over tcp on this machine: sounds, states and models travel as objects. The same bytes as a
training here, whoever is killed; what cannot be gone on from is said, and never used.

WAVEMILL_KILLS sets how many kills one training has to survive (3)."""
import glob
import os
import signal
import time

import journey
from journey import Home
from test_remote import Client, service, wait_for, workers
from test_remote_separate import far
from test_train import FAST, files, make_dataset, model

KILLS = int(os.environ.get("WAVEMILL_KILLS") or 3)
LONG = ("--batch", "4", "--validate", "10", "--seed", "7", "--previews", "1")
JOB, CANCEL, PAUSE, RESUME, SHOW = 15, 13, 23, 24, 14


def read(h: Home, name: str, file: str) -> bytes:
    with open(os.path.join(h.home, "models", name, file), "rb") as f:
        return f.read()


def show(client: Client, job: int) -> dict:
    return client.ask(SHOW, {1: job}, JOB)


def running_job(h: Home, name: str) -> int:
    (job,) = wait_for(lambda: [j["job"] for j in h.lines("jobs") if j["name"] == name])
    return job


def checkpoints(h: Home) -> list[str]:
    """Objects of the queue that are states, by their first bytes."""
    found = []
    for path in glob.glob(os.path.join(h.home, "objects/queue/??/*")):
        try:
            with open(path, "rb") as f:
                if f.read(8) == b"WMVAEFIT":
                    found.append(path)
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
    """Workers are killed in turn; each comes with a home of its own, so that nothing but the queue's objects can help."""
    settings = ("--steps", "2500", *LONG)
    with Home() as h:
        make_dataset(h)
        h.run("train", "tones", "--name", "whole", *settings)
        with service(h, "--no-workers") as (_, address):
            running = h.start("train", "tones", "--name", "killed", *settings, "--upload")
            seen = 0
            for turn in range(KILLS):
                with far(h, address, f"far{turn}") as worker:
                    wait_for(lambda: len(checkpoints(h)) > seen + (turn == 0) or running.poll() is not None)  # pylint: disable=cell-var-from-loop
                    assert running.poll() is None, running.communicate()
                    seen = len(checkpoints(h))
                    worker.kill()
            with far(h, address, "last"):
                out, said = running.communicate(timeout=120)
            assert running.returncode == 0, (out, said)
            assert b"begun anew" not in said, said
        assert model(h, "killed") == model(h, "whole"), "other bytes"


if __name__ == "__main__":
    journey.main([the_same_model, killed_and_gone_on_with_elsewhere])
