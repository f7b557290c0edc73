"""What the tests of faults share: a home with its scheduler and workers as real processes, clients that outlive them, and
the command line of the tests."""
from __future__ import annotations

import argparse
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "journey"), os.path.join(HERE, "..", "foreign")]
# pylint: disable=wrong-import-position
import msgpack  # noqa: E402
import zmq  # noqa: E402
from journey import BIN, Home  # noqa: E402
from wavemill_client import HELLO, JOB, JOBS, LIST, SERVER, SHOW, STATS, WELCOME, Client, Peer, run_folder  # noqa: E402

SHIMS = os.environ.get("WAVEMILL_SHIMS", os.path.join(BIN, "..", "tests", "faults"))


class Gone(Exception):
    """The scheduler that was asked has died, or another one runs in its place."""


class Scheduler:
    """wavemill-scheduler on the queue of a home, started and killed by the test. `lives` counts its starts."""

    def __init__(self, home: Home, *options: str, journal: str | None = None, environment: dict | None = None,
                 behind: bool = False) -> None:
        """`behind`: in a run folder of its own, so that a proxy can take the usual one."""
        os.makedirs(home.home, mode=0o700, exist_ok=True)
        self.home, self.run = home.home, home.path("inner") if behind else run_folder(home.home)
        self.journal = journal or os.path.join(home.home, "queue")
        self.log = home.path("scheduler.log")
        self.options = options
        self.environment = {**home.environment, **(environment or {})}
        self.process: subprocess.Popen | None = None
        self.lives = 0
        self.ready = threading.Event()

    def start(self, want: str = "R") -> float:
        """Starts it and waits until it says that it is ready (or, with want="E", that it cannot start); seconds."""
        out, into = os.pipe()
        began = time.monotonic()
        command = [os.path.join(BIN, "wavemill-scheduler"), "--run-dir", self.run, "--journal", self.journal,
                   "--log", self.log, "--ready-fd", str(into), *self.options]
        self.process = subprocess.Popen(command, env=self.environment, pass_fds=(into,))
        os.close(into)
        spoke = select.select([out], [], [], 60)[0]
        said = os.read(out, 1000).decode() if spoke else ""
        os.close(out)
        if not spoke:
            self.process.kill()
            raise TimeoutError(f"the scheduler is not ready after 60 s\n{self.messages()[-1500:]}")
        took = time.monotonic() - began
        if not said.startswith(want):
            try:
                self.process.wait(2)  # it may be about to end by itself
            except subprocess.TimeoutExpired:
                self.process.kill()
            raise AssertionError(f"the scheduler said {said!r} at its start, wanted {want}\n{self.messages()[-1500:]}")
        if want == "R":
            self.lives += 1
            self.ready.set()
        else:
            self.process.wait(10)
        return took

    def runs(self) -> bool:
        return self.ready.is_set() and self.process.poll() is None

    def kill(self) -> None:
        self.ready.clear()
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """SIGTERM, which must end it with 0."""
        self.ready.clear()
        self.process.terminate()
        assert self.process.wait(20) == 0, self.process.returncode

    def messages(self) -> str:
        try:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def resident_mib(self) -> float:
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


class Session(Client):
    """A client's session with one life of a scheduler: Gone instead of waiting for the answer of a dead one."""

    def __init__(self, scheduler: Scheduler, name: str = "faults", socket: str = "client.sock") -> None:
        self.scheduler = scheduler
        self.life = scheduler.lives
        self.sent_ping = time.monotonic()
        Peer.__init__(self, f"ipc://{scheduler.run}/{socket}", 30)
        if socket == "client.sock":
            self.welcome = self.ask(HELLO, {1: name, 2: "1"}, WELCOME)

    def receive(self, timeout_s: float | None = None) -> tuple[int, int, dict] | None:
        end = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        while True:
            left = end - time.monotonic()
            answer = super().receive(min(0.02, max(0.0, left)))
            if answer is not None or left <= 0:
                return answer
            if self.scheduler.lives != self.life or not self.scheduler.runs():
                raise Gone()

    def __exit__(self, kind, *_: object) -> None:
        if kind is None:
            super().__exit__()
        else:
            self.close()

    def show(self, job: int) -> dict:
        return self.ask(SHOW, {1: job}, JOB)

    def list(self) -> list[dict]:
        """All jobs that are kept."""
        found: list[dict] = []
        while True:
            page = self.ask(LIST, {1: found[-1][1] if found else 0, 2: 1000}, JOBS)
            found += page[1]
            if not page.get(2):
                return found

    def stats(self) -> dict:
        return self.ask(STATS, {}, SERVER)

    def wait_for(self, what: Callable[[], object], seconds: float = 60) -> object:
        """What `what` returns, once that is true."""
        end = time.monotonic() + seconds
        while not (value := what()):
            if time.monotonic() > end:
                raise TimeoutError(f"{what} did not come true in {seconds} s")
            time.sleep(0.002)
        return value

    def wait_over(self, job: int, seconds: float = 60) -> dict:
        self.wait_for(lambda: self.show(job)[2] >= 2, seconds)
        return self.show(job)


class Rig:
    """A home, its scheduler, and any number of worker processes; everything ends with the `with` block."""

    def __init__(self, *options: str, workers: int = 0, threads: int = 1, worker_options: tuple = (), **more) -> None:
        self.home = Home()
        self.scheduler = Scheduler(self.home, *options, **more)
        self.threads, self.worker_options, self.wanted = threads, worker_options, workers
        self.workers: dict[int, subprocess.Popen] = {}

    def __enter__(self) -> "Rig":
        os.environ.pop("XDG_RUNTIME_DIR", None)
        self.home.__enter__()
        try:
            self.scheduler.start()
            for place in range(1, self.wanted + 1):
                self.start_worker(place)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *exception) -> None:
        for process in [*self.workers.values(), self.scheduler.process]:
            if process and process.poll() is None:
                process.kill()
                process.wait(10)
        self.scheduler.ready.clear()
        self.home.__exit__(*exception)

    def start_worker(self, place: int, *options: str) -> subprocess.Popen:
        command = [os.path.join(BIN, "wavemill-worker"), "--home", self.home.home, "--device", "cpu", "--threads",
                   str(self.threads), "--place", str(place), *self.worker_options, *options]
        self.workers[place] = subprocess.Popen(command, env=self.home.environment, stderr=subprocess.DEVNULL)
        return self.workers[place]

    def stop_workers(self) -> None:
        for process in self.workers.values():
            process.terminate()
        for process in self.workers.values():
            assert process.wait(20) == 0, process.returncode
        self.workers.clear()

    def children(self, place: int) -> list[int]:
        """The compute children of a worker."""
        with open(f"/proc/{self.workers[place].pid}/task/{self.workers[place].pid}/children", encoding="ascii") as f:
            return [int(pid) for pid in f.read().split()]

    def session(self) -> Session:
        return Session(self.scheduler)


def noop_items(actions: list[int]) -> list[dict]:
    return [{3: msgpack.packb({1: a})} if a else {} for a in actions]


def chunks(count: int, most: int) -> Iterator[tuple[int, int]]:
    """(first, number) of the parts of `count`, none above `most`."""
    for first in range(0, count, most):
        yield first, min(most, count - first)


def percentile(values: list[float], p: float) -> float:
    return sorted(values)[min(len(values) - 1, int(p * len(values)))] if values else float("nan")


def signal_and_wait_stopped(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            if f.read().rsplit(")", 1)[1].split()[0] == "T":
                return
        time.sleep(0.002)
    raise TimeoutError(f"{pid} does not stop")


class Options(argparse.Namespace):
    """--count replaces a case's own count, --seconds its own duration; the seed is of its random choices."""
    count: int | None
    seconds: float | None
    seed: int
    cases: list[str]

    def times(self, short: int) -> int:
        return self.count or short

    def random(self) -> random.Random:
        return random.Random(self.seed)


def main(cases: list[Callable[[Options], None]]) -> None:
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--count", type=int, help="rounds, items ... of the cases, instead of their short form's")
    parser.add_argument("--seconds", type=float, help="how long cases with a duration run")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("cases", nargs="*", help=" ".join(c.__name__ for c in cases))
    options = parser.parse_args(namespace=Options())
    chosen = [c for c in cases if not options.cases or c.__name__ in options.cases]
    failed = 0
    print(f"seed {options.seed}", flush=True)
    for case in chosen:
        began = time.monotonic()
        try:
            case(options)
            print(f"pass {case.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"FAIL {case.__name__} (seed {options.seed})", flush=True)
            traceback.print_exc()
            sys.stderr.flush()
    zmq.Context.instance().destroy(linger=0)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    sys.exit(failed != 0 or not chosen)
