"""The commands of the queue: jobs that outlive the command that sent them, and what can be seen and done of them."""
import glob
import os
import random
import signal
import sys
import time

import journey
import numpy as np
from journey import AUDIO, DATA, Home

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "foreign"))
os.environ.pop("XDG_RUNTIME_DIR", None)

from wavemill_client import BEAT, VERDICTS, Worker, run_folder  # noqa: E402  pylint: disable=wrong-import-position


def job_of(h: Home, *arguments: str) -> int:
    """The number of a job that `submit` sends."""
    line, = h.lines("submit", *arguments)
    return line["job"]


def objects_of(h: Home) -> set[str]:
    """What the scheduler keeps of objects."""
    found = glob.glob(os.path.join(h.home, "objects", "queue", "**"), recursive=True)
    return {f for f in found if os.path.isfile(f) and "spool" not in f}


def states(outcomes: list[dict]) -> dict[int, str]:
    found = {o["item"]: o["state"] for o in outcomes}
    assert len(found) == len(outcomes), outcomes
    return found


def jobs_outlive_their_command() -> None:
    """Submitted, watched, filtered, shown; drills fail where their seed says."""
    with Home() as h:
        served = h.serve("--threads", "2")
        drill = ["noop", "--count", "50", "--fail", "0.2", "--payload", "100", "--name", "drill", "--seed", "7"]
        sent, = h.lines("submit", *drill)
        assert sent == {"schema": 1, "job": 1, "items": 50, "known": False}, sent
        outcomes = h.lines("watch", "1", code=1)
        seen = states(outcomes)
        failed = [i for i, state in seen.items() if state == "dead"]
        assert len(seen) == 50 and 2 <= len(failed) <= 20, failed
        assert all(("error" in o) == (o["state"] == "dead") for o in outcomes)
        assert [o["cursor"] for o in outcomes] == list(range(1, 51))
        assert [o["item"] for o in h.lines("watch", "1", "--from", "30", code=1)] == [o["item"] for o in outcomes[30:]]
        assert states(h.lines("watch", str(job_of(h, *drill)), code=1)) == seen, "the same seed, the same failures"
        assert states(h.lines("watch", str(job_of(h, *drill, "--seed", "8")), code=1)) != seen
        text = h.run("watch", "1", code=1)
        assert text.stdout.count(b"\n") == 50 and b"INPUT" in text.stdout and b"job 1 is over: " in text.stderr

        shown = h.lines("show", "1")[0]
        assert shown["items"]["failed"] == len(failed) and shown["items"]["commits"] == 50 and shown["name"] == "drill" and not shown["paused"]
        assert {f["index"] for f in shown["failures"]} == set(failed)
        dead = h.lines("dead", "1")
        assert {d["item"] for d in dead} == set(failed) and all(d["error"]["class"] == "INPUT" and d["attempts"] == 1 for d in dead)
        assert {d["job"] for d in h.lines("dead")} == {1, 2, 3}
        assert h.run("dead", "1").stdout.count(b"INPUT") == len(failed)
        assert b"FAILED" not in h.run("logs", "1").stdout and h.run("logs", "1", "--follow", "--item", "3").returncode == 0

        waits = job_of(h, "noop", "--start-after", "+90m", "--name", "later", "--priority", "-1000", "--max-attempts", "9")
        four = [job["job"] for job in h.lines("submit", "noop", "--jobs", "4", "--key", "a key that is longer than sixteen bytes")]
        again = h.lines("submit", "noop", "--jobs", "4", "--key", "a key that is longer than sixteen bytes")
        assert len(set(four)) == 4 and [a["job"] for a in again] == four and all(a["known"] for a in again)
        assert len({line["job"] for line in h.lines("submit", "noop", "--count", "0", "--jobs", "2", "--key", "short")}) == 2
        for job in four:
            h.run("watch", str(job))
        assert [j["job"] for j in h.lines("jobs", "--state", "queued")] == [waits]
        assert [j["job"] for j in h.lines("jobs", "--state", "dead")] == [1, 2, 3]
        assert [j["job"] for j in h.lines("jobs", "--state", "done,queued", "--kind", "noop")] == [waits, *four, four[-1] + 1, four[-1] + 2]
        assert [j["job"] for j in h.lines("jobs", "--name", "drill", "--limit", "2")] == [1, 2]
        assert h.lines("jobs", "--kind", "analyze") == [] and [j["job"] for j in h.lines("jobs", "--after", str(waits), "--limit", "4")] == four
        later = h.lines("show", str(waits))[0]
        assert later["priority"] == -1000 and later["max_attempts"] == 9 and 5300 < later["start_unix_ms"] / 1000 - time.time() <= 5400
        served.send_signal(signal.SIGINT)
        assert served.wait(10) == 0


def files_are_submitted() -> None:
    """As analyze and features do it, but nobody waits; what was measured is in the store."""
    speech = os.path.join(DATA, "speech_mono_8k.wav")
    with Home() as h:
        served = h.serve("--threads", "2")
        job = job_of(h, "analyze", DATA, "/not/there.wav", "--n-mels", "40", "--name=files")
        outcomes = h.lines("watch", str(job), code=1)
        assert len(outcomes) == len(AUDIO) + 1
        by_path = {o["input"]["path"]: o for o in outcomes}
        assert by_path["/not/there.wav"]["error"]["class"] == "INPUT"
        assert by_path[os.path.abspath(speech)]["input"]["sample_rate"] == 8000 and by_path[os.path.abspath(speech)]["computed"]["backend"] == "cpu"
        assert h.lines("analyze", "--n-mels", "40", speech)[0]["computed"]["from_store"]
        out = h.path("x.npy")
        job = job_of(h, "features", speech, "--kind", "mel", "--out", out)
        h.run("watch", str(job))
        assert np.load(out).shape[0] == 128
        assert h.run("submit", "analyze", "--dry-run", DATA).stdout.decode().splitlines() == AUDIO
        before = objects_of(h)
        job = job_of(h, "analyze", "--upload", speech)
        assert len(objects_of(h) - before) == 1 and len(h.lines("watch", str(job))) == 1, "its bytes went to the scheduler"
        text = h.run("submit", "analyze", speech)
        assert text.stdout.startswith(b"job ") and text.stderr == b"", text
        served.terminate()
        assert served.wait(10) == 0


def jobs_are_steered() -> None:
    with Home() as h:
        served = h.serve("--threads", "2")
        job = str(job_of(h, "noop", "--count", "30", "--sleep-ms", "50", "--key", "k"))
        conflict = h.run("submit", "noop", "--count", "31", "--sleep-ms", "50", "--key", "k", code=1)
        assert b"the key belongs to a job with other content" in conflict.stderr, conflict.stderr
        assert h.lines("pause", job)[0]["paused"]
        time.sleep(0.3)
        still = h.lines("show", job)[0]["items"]
        assert still["leased"] == 0 and still["done"] < 30, still
        assert b"paused" in h.run("jobs").stdout
        assert h.lines("priority", job, "-7")[0]["priority"] == -7 and h.lines("priority", "--quiet", job, "12")[0]["priority"] == 12
        assert not h.lines("resume", job)[0]["paused"]
        h.run("watch", job)
        assert h.lines("show", job)[0]["items"]["done"] == 30

        broken = str(job_of(h, "noop", "--count", "3", "--fail", "1"))
        h.run("watch", broken, code=1)
        assert h.lines("retry", broken, "0", "2")[0]["job"] == int(broken)
        retried = h.lines("watch", broken, code=1)
        assert sorted((o["item"], o["retried"]) for o in retried) == [(0, False), (0, True), (1, False), (2, False), (2, True)], retried
        assert [d["item"] for d in sorted(h.lines("dead", broken), key=lambda d: d["item"])] == [0, 1, 2]
        assert len(h.lines("show", broken)[0]["failures"]) == 3
        late = str(job_of(h, "noop", "--count", "2", "--sleep-ms", "60000", "--deadline", "+300ms"))
        assert {o["error"]["class"] for o in h.lines("watch", late, code=1)} == {"TIMEOUT"}

        long = str(job_of(h, "noop", "--count", "100", "--sleep-ms", "100"))
        watching = h.start("watch", long)
        time.sleep(0.3)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 130 and h.lines("show", long)[0]["state"] == "active", "who looks away stops nothing"
        assert h.lines("cancel", long)[0]["state"] == "cancelled"
        assert b"cancelled" in h.run("watch", long, code=1).stderr
        assert b"cancelled" in h.run("retry", long, code=1).stderr
        for command in ("show", "watch", "logs", "dead", "retry", "cancel", "pause", "resume"):
            assert b"no job 99" in h.run(command, "99", code=1).stderr, command
        assert b"no job 99" in h.run("priority", "99", "1", code=1).stderr
        both = h.run("pause", "99", job, code=1)
        assert b"no job 99" in both.stderr and job.encode() in both.stdout, "the others are done all the same"
        served.terminate()
        assert served.wait(10) == 0


def commands_outlive_a_scheduler() -> None:
    """Killed under them, it comes back: watch goes on at its cursor, submit waits, analyze finishes."""
    def kill() -> None:
        for pid in h.processes("wavemill-scheduler"):
            os.kill(int(pid), signal.SIGKILL)

    with Home() as h:
        served = h.serve("--threads", "2")
        job = str(job_of(h, "noop", "--count", "60", "--sleep-ms", "50"))
        watching = h.start("watch", job, "--json")
        time.sleep(0.4)
        kill()
        sent, = h.lines("submit", "noop", "--key", "after the kill")  # at once: it waits
        out, errors = watching.communicate(timeout=60)
        assert watching.returncode == 0 and len(states([journey.check_line(x) for x in out.splitlines()])) == 60, errors
        kill()
        assert h.lines("submit", "noop", "--key", "after the kill")[0] == {**sent, "known": True}
        folder = h.path("sounds")
        os.mkdir(folder)
        for i in range(24):
            journey.write_wav(os.path.join(folder, f"{i}.wav"), data=random.Random(i).randbytes(3000000))
        analyzing = h.start("analyze", "--json", folder)
        lines = [analyzing.stdout.readline()]
        kill()
        assert analyzing.poll() is None
        lines += analyzing.stdout.read().splitlines()
        errors = analyzing.stderr.read()
        assert analyzing.wait(60) == 0 and len({journey.check_line(x)["input"]["path"] for x in lines}) == 24 == len(lines), errors
        served.terminate()
        assert served.wait(10) == 0
        began = time.monotonic()
        assert b"no scheduler runs" in h.run("jobs", code=3).stderr  # it ended in order: nobody is waited for
        print(f"    {time.monotonic() - began:.2f} s until that is said")


def log_lines() -> None:
    """What a worker sends with its beats is printed once, by item, also while it comes; the last lines stay with the dead."""
    with Home() as h:
        served = h.serve("--no-workers")
        job = str(job_of(h, "noop", "--count", "2"))
        worker = Worker(run_folder(h.home), "foreign", ["noop"])
        tokens = [lease[2] for lease in worker.take(2)[4]]
        worker.ask(BEAT, {1: [{1: tokens[0], 3: "one\ntwo"}, {1: tokens[1], 3: "three\x1b[2J"}]}, VERDICTS)
        assert [(x["item"], x["attempt"], x["text"]) for x in h.lines("logs", job)] == [(0, 1, "one"), (0, 1, "two"), (1, 1, "three\x1b[2J")]
        assert [x["text"] for x in h.lines("logs", "--item", "0", job)] == ["one", "two"]
        text = h.run("logs", job).stdout
        assert text.count(b"\n") == 3 and b"three?[2J" in text and b"item 0, attempt 1: one" in text, text
        following = h.start("logs", "--follow", "--json", job)
        assert [journey.check_line(following.stdout.readline())["text"] for _ in range(3)][0] == "one"
        worker.ask(BEAT, {1: [{1: tokens[0], 3: "four"}, {1: tokens[1]}]}, VERDICTS)
        assert journey.check_line(following.stdout.readline())["text"] == "four"
        assert worker.report([{1: tokens[0]}, {1: tokens[1], 2: 1, 3: "no good", 5: "it is\nno good"}]) == [1, 1]
        rest = [journey.check_line(x)["text"] for x in following.stdout.read().splitlines()]
        assert following.wait(10) == 0 and "one" not in rest and "four" not in rest, rest
        dead, = h.lines("dead", job)
        assert dead["item"] == 1 and dead["error"]["message"] == "no good" and "it is\nno good" in dead["log"], dead
        assert b"log: no good" in h.run("dead", job).stdout
        more = str(job_of(h, "noop"))
        token = worker.take(1)[4][0][2]
        for i in range(40):  # more than is kept
            worker.ask(BEAT, {1: [{1: token, 3: f"{i:04d}" + 3996 * "x"}]}, VERDICTS)
        kept = h.run("logs", "--json", more)
        assert 5 < kept.stdout.count(b"\n") < 20 and b"lines are not kept" in kept.stderr, kept.stderr
        worker.close()
        served.terminate()
        assert served.wait(10) == 0


def care_of_the_queue() -> None:
    """fsck and backup beside a running scheduler; a scheduler can be started from the copy; compact alone."""
    with Home() as h:
        served = h.serve("--threads", "2")
        job = str(job_of(h, "noop", "--count", "20", "--name", "kept"))
        h.run("watch", job)
        assert h.lines("queue", "fsck")[0]["clean"] and b"0 damaged" in h.run("queue", "fsck").stdout
        copy = h.path("copy")
        h.run("queue", "backup", copy)
        h.run("queue", "compact", code=3)
        served.terminate()
        assert served.wait(10) == 0
        h.run("queue", "compact")
        os.rename(os.path.join(h.home, "queue"), h.path("old"))
        os.rename(copy, os.path.join(h.home, "queue"))
        served = h.serve("--threads", "2")
        line, = h.lines("jobs")
        assert line["name"] == "kept" and line["items"]["done"] == 20
        served.terminate()
        assert served.wait(10) == 0


def cancelled_by_another() -> None:
    """Files that were not measured are not called done."""
    with Home() as h:
        served = h.serve("--no-workers")
        waiting = h.start("analyze", "--json", DATA)
        deadline = time.monotonic() + 30
        while not (jobs := [j for j in h.lines("jobs") if j["items"]["total"] == len(AUDIO)]) and time.monotonic() < deadline:
            time.sleep(0.05)
        h.run("cancel", str(jobs[0]["job"]))
        out, said = waiting.communicate(timeout=30)
        assert waiting.returncode == 1 and out == b"", (waiting.returncode, out)
        assert f"the job was cancelled: {len(AUDIO)} of {len(AUDIO)} files were not measured".encode() in said, said
        served.terminate()
        assert served.wait(10) == 0


if __name__ == "__main__":
    journey.main([jobs_outlive_their_command, files_are_submitted, jobs_are_steered, commands_outlive_a_scheduler, log_lines,
                  care_of_the_queue, cancelled_by_another])
