"""Sweeps as a user makes them: many trainings in one job, those that fall behind stopped, whatever is killed meanwhile."""
import csv
import io
import json
import os
import re
import signal
import subprocess
import time

import journey
from journey import BIN, Home
from test_train import make_dataset, model, wait_for

FAST = ("--steps", "60", "--batch", "4", "--validate", "15", "--no-changes", "--previews", "1")
SIXTEEN = ("--rates", "1e-3,2e-3,3e-3,4e-3", "--seeds", "4", *FAST)


def table(lines: list[dict]) -> list[dict]:
    """What does not hang on the clock, or on who was killed."""
    return [{k: v for k, v in line.items() if k not in ("training_s", "resumed_from")} for line in lines if "rank" in line]


def worker(h: Home) -> subprocess.Popen:
    return subprocess.Popen([os.path.join(BIN, "wavemill-worker"), "--threads", "1"], env=h.environment, stderr=subprocess.DEVNULL)


def read(*path: str) -> bytes:
    with open(os.path.join(*path), "rb") as f:
        return f.read()


def sixteen_and_a_kill() -> None:
    """Two workers, one of them killed in the midst, and the child of the other: table and model are those of one worker
    that nobody disturbed, and the model is what `train` makes of the same settings."""
    with Home() as h:
        make_dataset(h)
        lines = h.lines("sweep", "tones", "--name", "alone", *SIXTEEN)
        assert [x["resumed_from"] for x in lines] == 2 * [0.5] + 4 * [0.25] + 10 * [None], "a round goes on where the last one ended"
        alone = table(lines)
        assert [x["rank"] for x in alone] == list(range(1, 17)) and sorted(x["trial"] for x in alone) == list(range(16))
        assert [x["state"] for x in alone] == 2 * ["finished"] + 14 * ["stopped"], alone
        assert [x["steps"] for x in alone] == 2 * [60] + 4 * [30] + 10 * [15], "who falls behind is stopped"
        assert [x["rounds"] for x in alone] == 2 * [3] + 4 * [2] + 10 * [1], alone
        for a, b in zip(alone, alone[1:]):
            assert a["rounds"] > b["rounds"] or a["score"] <= b["score"], (a, b)
        assert [x.get("model") for x in alone] == ["alone"] + 15 * [None], alone
        served = h.serve("--threads", "1")
        second = worker(h)
        running = h.start("sweep", "tones", "--name", "killed", *SIXTEEN, "--json")
        results = os.path.join(h.home, "sweeps", "killed", "results")
        wait_for(lambda: os.path.isdir(results) and len(os.listdir(results)) > 3)
        second.kill()
        second.wait()
        third = worker(h)
        wait_for(lambda: sum(n.endswith("round-1") for n in os.listdir(results)) > 1)
        for pid in h.processes("wavemill-compute"):
            os.kill(int(pid), signal.SIGKILL)
        out, said = running.communicate(timeout=120)
        assert running.returncode == 0, (out[-500:], said[-800:])
        killed = table([journey.check_line(line) for line in out.splitlines()])
        for line in alone + killed:
            line.pop("sweep")
        assert killed[0].pop("model") == "killed" and alone[0].pop("model") == "alone"
        assert killed == alone, "another table"
        third.terminate()
        third.wait()
        served.terminate()
        served.communicate()
        assert model(h, "killed") == model(h, "alone"), "other bytes"
        best = alone[0]["settings"]
        h.run("train", "tones", "--name", "one", *FAST, "--preset", best["preset"], "--seed", best["seed"], "--rate", repr(best["rate"]))
        one, swept = (os.path.join(h.home, "models", name) for name in ("one", "alone"))
        for name in ("model.safetensors", "config.json", "training.json", "begun.json", "previews/0.prior.wav"):
            assert read(one, name) == read(swept, name), name
        curves = [[{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in read(x, "metrics.jsonl").splitlines()] for x in (one, swept)]
        assert curves[0] == curves[1] and len(curves[0]) == 4, curves
        assert sorted(os.listdir(one)) == sorted(os.listdir(swept)) and "states" not in os.listdir(swept)
        h.run("models", "verify", "alone")
        left = [n for _, _, names in os.walk(os.path.join(h.home, "sweeps")) for n in names if n == "states"]
        assert not left, "states that nobody goes on from"


def interrupted_and_gone_on_with() -> None:
    four = ("--rates", "1e-3,4e-3", "--seeds", "2", "--halving", "2", "--steps", "2000", "--batch", "4", "--validate", "20", "--no-changes", "--previews", "1")
    short = [x if x != "2000" else "40" for x in four]
    with Home() as h:
        make_dataset(h)
        running = h.start("sweep", "tones", "--name", "s", *four)
        results = os.path.join(h.home, "sweeps", "s", "results")
        wait_for(lambda: os.path.exists(os.path.join(h.home, "sweeps/s/trial-001/states")))
        assert b"is at s" in h.run("sweep", "tones", "--name", "s", "--resume", code=2).stderr
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
        assert running.returncode == 130 and b"--resume goes on" in said, (running.returncode, said)
        assert not os.path.exists(os.path.join(h.home, "models"))
        for arguments, text in (((), b"--resume goes on with it"), (("--resume", "--steps", "9"), b"no other settings")):
            assert text in h.run("sweep", "tones", "--name", "s", *arguments, code=2).stderr, arguments
        make_dataset(h, "other")
        assert b"begun with dataset" in h.run("sweep", "other", "--name", "s", "--resume", code=2).stderr
        # The same, shorter: whole, and begun by hand with a record that was altered and a model in the way.
        whole = table(h.lines("sweep", "tones", "--name", "whole", *short, "--keep", "1"))
        running = h.start("sweep", "tones", "--name", "t", *short)
        results = os.path.join(h.home, "sweeps", "t", "results")
        wait_for(lambda: os.path.exists(os.path.join(results, "trial-001.round-0")) or running.poll() is not None)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
        assert not h.wait_for_end()
        with open(os.path.join(results, "trial-001.round-0"), "r+b") as f:
            f.truncate(20)
        os.makedirs(os.path.join(h.home, "models", "t", "mine"), exist_ok=True)
        blocked = h.run("sweep", "tones", "--name", "t", "--resume", code=1)
        assert b"something else in" in blocked.stderr and not blocked.stdout, blocked
        assert os.listdir(os.path.join(h.home, "models", "t")) == ["mine"]
        os.rmdir(os.path.join(h.home, "models", "t", "mine"))
        os.rmdir(os.path.join(h.home, "models", "t"))
        rest = table(h.lines("sweep", "tones", "--name", "t", "--resume"))
        assert not h.wait_for_end()
        again = h.run("sweep", "tones", "--name", "t", "--resume", "--json")
        assert not h.processes(), "nothing is left to do"
        assert table([json.loads(x) for x in again.stdout.splitlines()]) == rest and not again.stderr
        for line in whole + rest:
            line.pop("sweep")
            line.pop("model", None)
        assert rest == whole, (rest, whole)
        assert model(h, "t") == model(h, "whole")


def failures_count_as_lost() -> None:
    """A trial that cannot keep its states is lost, named, and stands last; the next best goes on in its place."""
    four = ("--rates", "1e-3,4e-3", "--seeds", "2", "--halving", "2", *FAST)
    with Home() as h:
        make_dataset(h)
        whole = table(h.lines("sweep", "tones", "--name", "whole", *four))
        lost = whole[0]["trial"]
        os.makedirs(os.path.join(h.home, "sweeps", "f", f"trial-{lost:03d}", "states"))
        done = h.run("sweep", "tones", "--name", "f", *four, "--json", code=1)
        rows = table([json.loads(x) for x in done.stdout.splitlines()])
        assert [x["state"] for x in rows] == ["finished", "stopped", "stopped", "failed"], rows
        assert rows[3]["trial"] == lost and rows[3]["rounds"] == 0 and "Is a directory" in rows[3]["failure"], rows
        assert rows[0]["trial"] == whole[1]["trial"] and rows[0]["steps"] == 60 and model(h, "f") != model(h, "whole"), rows
        assert done.stderr.count(b"failed: trial %d of f (tiny, rate" % lost) == 1 and b"Is a directory" in done.stderr, done.stderr
        again = h.run("sweep", "tones", "--name", "f", "--resume", code=1)
        assert b"Is a directory" in again.stdout and not again.stderr, again
        for trial in range(4):
            os.makedirs(os.path.join(h.home, "sweeps", "n", f"trial-{trial:03d}", "states"))
        none = h.run("sweep", "tones", "--name", "n", *four, code=1)
        assert b"none of 4 trials came to the end" in none.stderr and none.stdout.count(b"Is a directory") == 4, none
        assert "n" not in os.listdir(os.path.join(h.home, "models"))


def blocked(h: Home, taken: str, *command: str) -> bytes:
    """A sweep that all is done of but its end, since a folder is `taken`; what it said."""
    running = h.start(*command)
    wait_for(lambda: os.path.isdir(os.path.join(h.home, "sweeps", os.path.basename(taken), "results")))
    os.makedirs(taken)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 1 and b"something else in" in said, (running.returncode, said)
    os.rmdir(taken)
    return said


def damaged_behind_its_state() -> None:
    """A record that was altered is made again as it was, also where the trial has come further since: its state of step 30
    would give it a better place in the first round than it had at step 15. It took part in the second only because the
    best trial was lost then."""
    four = ("--rates", "1e-3,4e-3", "--seeds", "2", "--halving", "2", *FAST)
    with Home() as h:
        make_dataset(h)
        whole = table(h.lines("sweep", "tones", "--name", "whole", *four))
        lost, third = whole[0]["trial"], whole[2]["trial"]
        states, taken = os.path.join(h.home, "sweeps", "d", f"trial-{lost:03d}", "states"), os.path.join(h.home, "models", "d")
        os.makedirs(states)
        assert b"round 2 of 3   trial %3d        30 steps" % third in blocked(h, taken, "sweep", "tones", "--name", "d", *four)
        os.rmdir(states)
        record = os.path.join(h.home, "sweeps", "d", "results", f"trial-{third:03d}.round-0")
        altered = bytearray(read(record))
        at = altered.index(b"\x34\xcb") + 4  # in the midst of the score: field 52, a float64
        altered[at] ^= 0x10
        with open(record, "wb") as f:
            f.write(altered)
        done = h.run("sweep", "tones", "--name", "d", "--resume", "--json")
        named = b"wavemill sweep: trial %d of d (tiny, rate " % third
        anew = [x for x in done.stderr.splitlines() if b"begun anew: its state is of step 30" in x]
        assert len(anew) == 1 and anew[0].startswith(named) and b"), round 1: begun anew" in anew[0], done.stderr
        assert b"round 1 of 3   trial %3d        15 steps" % third in done.stderr, done.stderr
        rest = table([journey.check_line(x) for x in done.stdout.splitlines()])
        assert model(h, "d") == model(h, "whole")
        for line in whole + rest:
            line.pop("sweep")
            line.pop("model", None)
        assert rest == whole, (rest, whole)
        assert not os.path.exists(record.replace("round-0", "round-1")), "what came behind a round that was done again"


def precision_and_places() -> None:
    """All trials have the precision; each says by name that a processor has but fp32, and the table where it was trained."""
    with Home() as h:
        make_dataset(h, count=4)
        done = h.run("sweep", "tones", "--name", "b", "--rates", "1e-3,2e-3", "--halving", "1", *FAST, "--precision", "bf16", "--device", "cpu", "--json")
        for trial in range(2):
            begins = b"wavemill sweep: trial %d of b (tiny, rate 0.00%d, seed 1), round 1: " % (trial, trial + 1)
            said = {x[len(begins):] for x in done.stderr.splitlines() if x.startswith(begins)}
            assert said == {b"train: fp32 is what there is, not bf16", b"fewer than 5 sounds to learn from: it will learn them by heart"}, done.stderr
        rows = [json.loads(x) for x in done.stdout.splitlines()]
        assert [(x["backend"], x["moves"], x["settings"]["precision"]) for x in rows] == 2 * [("cpu", 0, "bf16")], rows
        assert rows[0]["place"] == rows[1]["place"] and re.fullmatch(r"cpu \w+ fp32", rows[0]["place"]), rows
        assert b"more than one place" not in done.stderr
        again = h.run("sweep", "tones", "--name", "b", "--resume")
        assert again.stdout.count(b"  " + rows[0]["place"].encode() + b"  tiny, rate") == 2 and not again.stderr, again
        rows = list(csv.DictReader(io.StringIO(h.run("sweep", "tones", "--name", "b", "--resume", "--csv").stdout.decode())))
        assert [(x["place"], x["moves"]) for x in rows] == 2 * [(rows[0]["place"], "0")] and "fp32" in rows[0]["place"], rows
        assert json.loads(read(h.home, "models", "b", "begun.json"))["precision"] == "bf16"


def two_presets_detached() -> None:
    """Sounds at two rates, two models kept, and nobody who waits."""
    with Home() as h:
        make_dataset(h)
        served = h.serve()
        job = h.lines("sweep", "tones", "--name", "p", "--presets", "tiny,small", "--steps", "4", "--batch", "2", "--validate", "2",
                      "--seeds", "1", "--previews", "1", "--keep", "2", "--detach")[0]["job"]
        assert b"p" in h.run("jobs", "--kind", "sweep").stdout
        h.run("watch", str(job))
        rows = list(csv.DictReader(io.StringIO(h.run("sweep", "tones", "--name", "p", "--resume", "--csv").stdout.decode())))
        assert [x["model"] for x in rows] == ["p-1", "p-2"] and {x["preset"] for x in rows} == {"tiny", "small"}, rows
        assert [x["model"] for x in h.lines("models", "list")] == ["p-1", "p-2"]
        served.terminate()
        served.communicate()


def what_is_planned() -> None:
    with Home() as h:
        make_dataset(h)
        text = h.run("sweep", "tones", "--dry-run").stdout.decode()
        assert "round 1 of 3: 12 trainings to step 350 (tiny)" in text and text.count("trial ") == 12, text
        grid = h.lines("sweep", "tones", "--dry-run", *SIXTEEN)
        assert [x["steps"] for x in grid] == 16 * [[15, 30, 60]] and len({x["settings"] for x in grid}) == 16, grid
        some = h.lines("sweep", "tones", "--dry-run", *SIXTEEN, "--trials", "5")
        chosen = [x["settings"] for x in some]
        assert len(chosen) == 5 and chosen == [x["settings"] for x in grid if x["settings"] in chosen], chosen
        drawn = ("sweep", "tones", "--dry-run", "--rates", "1e-4..1e-2", "--latents", "8,16", "--trials", "40", "--seed")
        first = [x["settings"] for x in h.lines(*drawn, "3")]
        assert len(set(first)) == 40 and first == [x["settings"] for x in h.lines(*drawn, "3")], first
        assert first != [x["settings"] for x in h.lines(*drawn, "4")]
        rates = sorted(float(x.split("rate ")[1].split(",")[0]) for x in first)
        assert 1e-4 <= rates[0] < 4e-4 and 2.5e-3 < rates[-1] <= 1e-2 and 4e-4 < rates[20] < 2.5e-3, rates
        assert {x.split("latent ")[1].split(",")[0] for x in first} == {"8", "16"}
        for arguments, said in (((), b"which dataset"), (("none",), b"none"), (("tones", "other"), b"one dataset"),
                                (("tones", "--presets", "tiny,huge"), b"tiny, small, medium"), (("tones", "--presets", ""), b"is not a list"),
                                (("tones", "--rates", "1e-3,,2e-3"), b"is not a list"), (("tones", "--rates", "1e-3,nan"), b"not a number"),
                                (("tones", "--rates", "1e-2..1e-3"), b"ends before"), (("tones", "--rates", "1e-3..1e-2"), b"--trials says"),
                                (("tones", "--latents", "1.5"), b"whole number"), (("tones", "--seed", "-1"), b"whole number"),
                                (("tones", "--seeds", "0"), b"--seeds"), (("tones", "--seeds", "100", "--rates", ",".join(11 * ["1e-3"])), b"--trials draws"),
                                (("tones", "--keep", "3"), b"cannot be kept"), (("tones", "--halving", "0"), b"--halving"), (("tones", "--precision", "fp16"), b"fp32, tf32 and bf16"),
                                (("tones", "--name", "../x"), b"letters"), (("tones", "--resume"), b"nothing of tones-sweep was begun")):
            done = h.run("sweep", *arguments, code=2)
            assert said in done.stderr, (arguments, done.stderr)
        os.makedirs(os.path.join(h.home, "models", "tones-sweep"))
        assert b"there is a model tones-sweep" in h.run("sweep", "tones", code=2).stderr
        assert not os.path.exists(os.path.join(h.home, "sweeps")), "something was begun"


if __name__ == "__main__":
    journey.main([sixteen_and_a_kill, interrupted_and_gone_on_with, failures_count_as_lost, damaged_behind_its_state, precision_and_places, two_presets_detached, what_is_planned])
