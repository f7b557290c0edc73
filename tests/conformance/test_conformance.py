"""What both clients must do: each case runs against a real scheduler and worker, once through libwavemill (driver.c) and
once through the Python package (driver.py); the answers, without what may differ from run to run, must be those of the
table.

    test_conformance.py [CASE...]"""
import json
import os
import signal
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "journey"), os.path.join(HERE, "..", "foreign")]
os.environ.pop("XDG_RUNTIME_DIR", None)

# pylint: disable=wrong-import-position
from journey import BIN, DATA, Home  # noqa: E402
from wavemill_client import BEAT, VERDICTS, Worker, run_folder  # noqa: E402

SOURCE = os.path.join(HERE, "..", "..")
LIBRARY = os.environ.get("WAVEMILL_LIBRARY_FOLDER", os.path.join(BIN, "..", "lib"))
FAIL, CRASH, HANG = 1, 2, 3
QUEUED, RUNNING, DONE, DEAD, CANCELLED = 1, 2, 4, 8, 16


class Driver:
    """One of the two clients, in a process of its own, with a service to talk to."""

    def __init__(self, home: Home, kind: str) -> None:
        environment = {**home.environment, "LD_LIBRARY_PATH": LIBRARY, "PYTHONPATH": os.path.join(SOURCE, "client", "python")}
        if kind == "python" and os.environ.get("WAVEMILL_PRELOAD"):
            environment.update(LD_PRELOAD=os.environ["WAVEMILL_PRELOAD"], ASAN_OPTIONS="detect_leaks=0")
        command = {"c": [os.path.join(BIN, "..", "tests", "conformance_driver")], "python": [sys.executable, os.path.join(HERE, "driver.py")]}
        self.home, self.worker = home, None
        self.process = subprocess.Popen(command[kind], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, what: str, **arguments) -> None:
        self.process.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        assert line, f"the driver ended with {self.process.wait()}"
        return json.loads(line)

    def ask(self, what: str, **arguments) -> dict:
        self.send(what, **arguments)
        return self.answer()

    def submit(self, **arguments) -> int:
        answer = self.ask("submit", **arguments)
        assert "job" in answer, answer
        return answer["job"]

    def outcomes(self, job: int, **arguments) -> list[dict]:
        return self.ask("watch", job=job, to_end=True, **arguments)["outcomes"]

    def start_worker(self, *options: str) -> None:
        self.worker = subprocess.Popen([os.path.join(BIN, "wavemill-worker"), "--home", self.home.home, *options],
                                       env=self.home.environment, stderr=subprocess.DEVNULL)

    def kill_scheduler(self) -> None:
        for pid in self.home.processes("wavemill-scheduler"):
            os.kill(int(pid), signal.SIGKILL)

    def close(self) -> None:
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        if self.worker:
            self.worker.terminate()
            self.worker.wait(60)


def brief(outcomes: list[dict]) -> list[str]:
    """"3 dead INPUT 1" for each, by index."""
    return sorted(f"{o['index']} {o['state']} {o['failure']} {o['attempts']}{' retried' * o['retried']}" for o in outcomes)


def some(job: dict, *names: str) -> dict:
    return {n: job.get(n) for n in names}


# ---- cases: each takes a driver and returns what is compared with its row of the table ----

def submit_and_watch(d: Driver):
    made = d.ask("submit", count=3, actions={"1": FAIL}, name="three", priority=7)
    seen = brief(d.outcomes(made["job"]))
    return some(made, "items", "known"), seen, some(d.ask("show", job=made["job"]), "state", "kind", "name", "priority", "items", "done", "dead")


def real_audio(d: Driver):
    job = d.submit(kind="analyze", paths=[os.path.abspath(os.path.join(DATA, "speech_mono_8k.wav")), "/not/there.wav"])
    seen = sorted(d.outcomes(job), key=lambda o: o["index"])
    return brief(seen), [os.path.basename(o["path"]) for o in seen]


def key_repeated(d: Driver):
    first = d.ask("submit", count=4, key="the same")
    again = [d.ask("submit", count=4, key="the same") for _ in range(2)]
    d.outcomes(first["job"])
    after = d.ask("submit", count=4, key="the same")
    other = d.ask("submit", count=4, key="another")
    return [(a["job"] == first["job"], a["items"], a["known"]) for a in [first, *again, after, other]], len(d.ask("list")["jobs"])


def key_conflict(d: Driver):
    d.submit(count=4, key="k", name="n")
    changed = [{"count": 5, "name": "n"}, {"count": 4, "name": "m"}, {"count": 4, "name": "n", "sleep_ms": 1},
               {"count": 4, "name": "n", "priority": 1}, {"count": 4, "name": "n", "actions": {"3": FAIL}}]
    return [d.ask("submit", key="k", **c).get("error") for c in changed], d.ask("submit", key="k", count=4, name="n")["known"]


def many_items_under_a_key(d: Driver):
    """More than one message holds: the rest is added; fewer and more are another content."""
    made = [d.ask("submit", count=n, key="large") for n in (9000, 9000, 8999, 9001, 4096)]
    return [m.get("error") or (m["items"], m["known"]) for m in made], len(d.outcomes(made[0]["job"]))


def added_in_chunks(d: Driver):
    job = d.submit(open=True)
    d.ask("add", job=job, count=3)
    early = len(d.ask("watch", job=job, wait_ms=30000)["outcomes"]) > 0  # before the job is sealed
    d.ask("add", job=job, count=5000, actions={"4999": FAIL})
    state = d.ask("show", job=job)["state"]
    sealed = d.ask("seal", job=job)
    seen = d.outcomes(job)
    return early, state, sealed, len(seen), brief([o for o in seen if o["state"] != "done"]), d.ask("add", job=job + 1, count=1)


def watched_from_any_cursor(d: Driver):
    job = d.submit(count=30)
    whole = [o["index"] for o in d.outcomes(job)]
    parts = [[o["index"] for o in d.outcomes(job, cursor=c)] == whole[c:] for c in (0, 1, 17, 29, 30, 1000)]
    end = d.ask("watch", job=job, cursor=30)
    return len(whole), parts, end["cursor"], end["over"]


def only_the_dead(d: Driver):
    job = d.submit(count=20, actions={"3": FAIL, "11": FAIL})
    d.outcomes(job)
    return brief(d.outcomes(job, dead_only=True))


def retried(d: Driver):
    job = d.submit(count=4, actions={"1": FAIL, "2": FAIL})
    d.outcomes(job)
    one = d.ask("retry", job=job, indexes=[1, 0])  # 0 is done: it is left alone
    seen = brief(d.outcomes(job))
    d.ask("retry", job=job)
    return one["items"], seen, brief(d.outcomes(job)), some(d.ask("show", job=job), "state", "done", "dead")


def retried_in_many_pages(d: Driver):
    """More outcomes than items, in more than one page: the end is where nothing follows."""
    job = d.submit(count=1100, actions={str(i): FAIL for i in range(1100)})
    first = len(d.outcomes(job))
    d.ask("retry", job=job)
    seen = d.outcomes(job)
    return first, len(seen), sum(o["retried"] for o in seen), len(d.outcomes(job, dead_only=True))


def paused_and_resumed(d: Driver):
    """Without a worker at first; when one has done a job that came later, this one has been left alone."""
    job = d.submit(count=4)
    paused = some(d.ask("pause", job=job), "paused", "queued")
    again = d.ask("pause", job=job)["paused"]
    d.start_worker("--threads", "2")
    d.outcomes(d.submit(count=1))
    still = some(d.ask("show", job=job), "paused", "done", "leased")
    resumed = d.ask("resume", job=job)["paused"]
    return paused, again, still, resumed, len(d.outcomes(job))


def order_of_priority(d: Driver):
    """Without a worker at first: then one, with one thread, takes them."""
    jobs = {p: d.submit(count=1, sleep_ms=30, priority=p) for p in (-5, 0, 5)}
    d.ask("priority", job=jobs[-5], priority=9)
    refused = d.ask("priority", job=jobs[0], priority=1001)
    d.start_worker("--threads", "1")
    for job in jobs.values():
        d.outcomes(job)
    finished = {p: d.ask("show", job=job)["finished_ms"] for p, job in jobs.items()}
    return sorted(finished, key=finished.get), d.ask("show", job=jobs[-5])["priority"], refused


def cancelled_while_queued(d: Driver):
    job = d.submit(count=5, start_in_ms=60000)
    state = d.ask("cancel", job=job)
    again = d.ask("cancel", job=job)
    return some(state, "state", "cancelled"), again == state, brief(d.outcomes(job)), d.ask("retry", job=job)


def cancelled_while_running(d: Driver):
    job = d.submit(count=40, sleep_ms=300)
    first = d.ask("watch", job=job, wait_ms=30000)
    state = d.ask("cancel", job=job)
    return len(first["outcomes"]) > 0, state["state"], state["done"] + state["cancelled"], state["cancelled"] > 0, len(d.outcomes(job)) == state["done"]


def start_after(d: Driver):
    job = d.submit(count=2, start_in_ms=2500)
    early = some(d.ask("show", job=job), "state", "done", "leased")
    d.outcomes(job)
    return early, d.ask("show", job=job)["took_ms"] >= 2400


def deadline(d: Driver):
    """The worker is at work before; two threads would need four times as long. Where nothing was done by then, once more
    with more time and as many more items: the machine may be busy. What was done is done, whatever its lease goes on with."""
    d.outcomes(d.submit(count=1))
    for times in (1, 2, 4, 8):
        job = d.submit(count=40 * times, sleep_ms=500, deadline_in_ms=2500 * times)
        seen = d.outcomes(job)
        done = sum(o["state"] == "done" for o in seen)
        if done:
            break
    return len(seen) == 40 * times, done > 0, {o["failure"] for o in seen if o["state"] == "dead"}


def attempt_timeout(d: Driver):
    job = d.submit(count=1, actions={"0": HANG}, attempt_ms=400, max_attempts=2, backoff_ms=50)
    return brief(d.outcomes(job)), d.ask("show", job=job)["took_ms"] >= 800


def attempts_and_backoff(d: Driver):
    job = d.submit(count=2, actions={"0": CRASH}, max_attempts=2, backoff_ms=400)
    seen = brief(d.outcomes(job))
    return seen, d.ask("show", job=job)["took_ms"] >= 150


def waves(d: Driver):
    """Two items at a time; the first is tried twice, and only then dead: nothing of the second wave is done before. Also of a
    job whose items come later."""
    orders = []
    for is_open in (False, True):
        job = d.submit(count=5, actions={"0": CRASH}, max_attempts=2, backoff_ms=400, wave=2, open=is_open)
        if is_open:
            d.ask("add", job=job, count=5, actions={"0": CRASH}), d.ask("seal", job=job)
        orders.append([o["index"] // 2 for o in d.outcomes(job)])
    return orders


def listed_by_filter(d: Driver):
    done, dead = d.submit(count=1, name="a"), d.submit(count=1, name="b", actions={"0": FAIL})
    d.outcomes(done), d.outcomes(dead)
    waits, gone = d.submit(count=1, name="a", start_in_ms=60000), d.submit(count=1, kind="resize")
    d.ask("cancel", job=gone)
    names = {done: "done", dead: "dead", waits: "waits", gone: "gone"}

    def ids(**arguments) -> list[str]:
        return [names[j] for j in d.ask("list", **arguments)["jobs"]]

    by_state = {p: ids(phases=p) for p in (QUEUED, RUNNING, DONE, DEAD, CANCELLED, DONE | DEAD)}
    page = d.ask("list", limit=2)
    rest = ids(after=dead)
    d.ask("cancel", job=waits)
    return by_state, ids(kind="resize"), ids(name="a"), ids(name="a", phases=DONE), [names[j] for j in page["jobs"]], page["more"], rest


def logs_of_a_job(d: Driver):
    """Lines that a worker sends, here one written from the protocol's page."""
    job = d.submit(count=2)
    worker = Worker(run_folder(d.home.home), "foreign", ["noop"])
    tokens = [lease[2] for lease in worker.take(2)[4]]
    worker.ask(BEAT, {1: [{1: tokens[0], 3: "one\ntwo"}, {1: tokens[1], 3: "three"}]}, VERDICTS)
    first = d.ask("logs", job=job)
    again = d.ask("logs", job=job, cursor=first["cursor"] - 1)
    none = d.ask("logs", job=job, cursor=first["cursor"])
    worker.report([{1: t} for t in tokens])
    worker.close()
    return [(x["index"], x["text"]) for x in first["lines"]], first["lost"], [x["text"] for x in again["lines"]], none["lines"], none["cursor"] == first["cursor"]


def unknown_job(d: Driver):
    return [d.ask(what, job=99).get("error") for what in ("show", "watch", "cancel", "pause", "resume", "retry", "logs")] + [
        d.ask("priority", job=99, priority=1).get("error")]


def limits(d: Driver):
    long = {"name": "n" * 65, "kind": "k" * 65, "key": "k" * 17}
    return [d.ask("submit", count=1, **{name: value}).get("error", "accepted") for name, value in long.items() if name != "key"], [
        d.ask("submit", count=1, priority=p).get("error", "accepted") for p in (-1000, -1001, 1000, 1001)]


def restarted_while_watching(d: Driver):
    job = d.submit(count=60, sleep_ms=40)
    d.send("watch", job=job, to_end=True)
    for _ in range(2):
        time.sleep(0.4)
        d.kill_scheduler()
    seen = d.answer()["outcomes"]
    return len(seen), sorted(o["index"] for o in seen) == list(range(60)), {o["state"] for o in seen}


def restarted_between_calls(d: Driver):
    """Every call finds the scheduler that came after; an unsealed job goes on with its session."""
    job = d.submit(open=True, key="open")
    answers = []
    for what, arguments in (("add", {"count": 3}), ("priority", {"priority": 3}), ("seal", {})):
        d.kill_scheduler()  # not more often: serve gives up a scheduler that ends again and again
        answers.append(d.ask(what, job=job, **arguments).get("error"))
    first = d.ask("submit", key="k", count=1)["known"]
    d.kill_scheduler()
    return answers, first, d.ask("submit", key="k", count=1)["known"], len(d.outcomes(job)), some(d.ask("show", job=job), "state", "priority")


NONE = "not_found"
BARE = ("--no-workers",)
# case, options of `wavemill serve`, what it must return
CASES = [
    (submit_and_watch, (), ({"items": 3, "known": False}, ["0 done NONE 1", "1 dead INPUT 1", "2 done NONE 1"],
                            {"state": "done", "kind": "noop", "name": "three", "priority": 7, "items": 3, "done": 2, "dead": 1})),
    (real_audio, (), (["0 done NONE 1", "1 dead INPUT 1"], ["speech_mono_8k.wav", "there.wav"])),
    (key_repeated, (), ([(True, 4, False), (True, 4, True), (True, 4, True), (True, 4, True), (False, 4, False)], 2)),
    (key_conflict, (), (["conflict"] * 5, True)),
    (many_items_under_a_key, (), ([(9000, False), (9000, True), "conflict", "conflict", "conflict"], 9000)),
    (added_in_chunks, (), (True, "open", {}, 5003, ["5002 dead INPUT 1"], {"error": "argument"})),
    (watched_from_any_cursor, (), (30, [True] * 6, 30, True)),
    (only_the_dead, (), ["11 dead INPUT 1", "3 dead INPUT 1"]),
    (retried, (), (4, ["0 done NONE 1", "1 dead INPUT 1", "1 dead NONE 0 retried", "2 dead INPUT 1", "3 done NONE 1"],
                   ["0 done NONE 1", "1 dead INPUT 1", "1 dead NONE 0 retried", "1 dead NONE 0 retried", "2 dead INPUT 1",
                    "2 dead NONE 0 retried", "3 done NONE 1"], {"state": "done", "done": 2, "dead": 2})),
    (retried_in_many_pages, (), (1100, 2200, 1100, 1100)),
    (paused_and_resumed, BARE, ({"paused": True, "queued": 4}, True, {"paused": True, "done": 0, "leased": 0}, False, 4)),
    (order_of_priority, BARE, ([-5, 5, 0], 9, {"error": "body"})),
    (cancelled_while_queued, (), ({"state": "cancelled", "cancelled": 5}, True, [], {"error": "state"})),
    (cancelled_while_running, (), (True, "cancelled", 40, True, True)),
    (start_after, (), ({"state": "active", "done": 0, "leased": 0}, True)),
    (deadline, (), (True, True, {"TIMEOUT"})),
    (attempt_timeout, (), (["0 dead TIMEOUT 2"], True)),
    (attempts_and_backoff, (), (["0 dead CRASH 2", "1 done NONE 1"], True)),
    (waves, (), [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2]]),
    (listed_by_filter, (), ({QUEUED: ["waits"], RUNNING: [], DONE: ["done"], DEAD: ["dead"], CANCELLED: ["gone"], DONE | DEAD: ["done", "dead"]},
                            ["gone"], ["done", "waits"], ["done"], ["done", "dead"], True, ["waits", "gone"])),
    (logs_of_a_job, BARE, ([(0, "one"), (0, "two"), (1, "three")], 0, ["three"], [], True)),
    (unknown_job, (), [NONE] * 8),
    (limits, (), (["argument", "argument"], ["accepted", "body", "accepted", "body"])),
    (restarted_while_watching, (), (60, True, {"done"})),
    (restarted_between_calls, (), ([None] * 3, False, True, 3, {"state": "done", "priority": 3})),
]


def run(case, options: tuple, want, kind: str) -> None:
    with Home() as home:
        # As many threads everywhere: what must still wait a moment later must not be over on a larger machine.
        served = home.serve(*options, *(() if "--no-workers" in options else ("--threads", "2")))
        d = Driver(home, kind)
        try:
            assert d.ask("connect") == {}
            got = case(d)
            assert got == want, f"\n  got  {got}\n  want {want}"
        finally:
            d.close()
            served.terminate()
            served.wait(60)


def main() -> None:
    passed = failed = 0
    for case, options, want in CASES:
        if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
            continue
        for kind in ("c", "python"):
            began = time.monotonic()
            try:
                run(case, options, want, kind)
                passed += 1
                print(f"pass {case.__name__}, {kind} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception:  # pylint: disable=broad-except
                failed += 1
                print(f"FAIL {case.__name__}, {kind}", flush=True)
                traceback.print_exc()
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0 or passed == 0)


if __name__ == "__main__":
    main()
