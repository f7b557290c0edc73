"""Clients and workers of the tests that live through the deaths of schedulers, and write down what they saw."""
from __future__ import annotations

import hashlib
import os
import random
import threading
import time
import traceback

from oracle import JOB_ACTIVE, JOB_CANCELLED, JOB_DONE, Ledger, Sent, WorkLog, drill_result, read_outcomes
from rig import Gone, Scheduler, Session, noop_items
from wavemill_client import ACCEPTED, ADD, BEAT, ENGAGED, READY, RETURN, SUBMIT, VERDICTS, Refused, Worker


SESSION_OVER = 8  # code of ERROR: it was silent for too long, and begins again


class Actor(threading.Thread):
    """Does `live` with one life of the scheduler after another, until it is told to stop."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(daemon=True)
        self.scheduler = scheduler
        self.ending = threading.Event()
        self.failure: str | None = None
        self.start()

    def run(self) -> None:
        try:
            while not self.ending.is_set():
                if self.scheduler.ready.wait(0.01):
                    try:
                        self.live()
                    except Gone:
                        pass
                    except Refused as e:
                        if e.code != SESSION_OVER:
                            raise
        except Exception:  # pylint: disable=broad-except
            self.failure = traceback.format_exc()

    def live(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        self.ending.set()
        self.join(60)
        assert not self.is_alive(), "an actor of the test does not end"
        assert self.failure is None, self.failure


class Submitter(Actor):
    """Sends small jobs and reads their outcomes. What was not answered is sent again, with the same key. Every eighth job comes in two parts: killed between them, it is cancelled by the end of its session."""

    def __init__(self, scheduler: Scheduler, ledger: Ledger, name: str, seed: int, most: int, kinds: tuple = ("noop", "drill"),
                 items: int = 12, poison: float = 0.0) -> None:
        """`most` jobs, or 0: as many as `allowed` is set to; `poison`: the part of them that is one item that crashes."""
        self.ledger, self.title, self.random, self.kinds, self.items = ledger, name, random.Random(seed), kinds, items
        self.count, self.poison = 0, poison
        self.open: list[Sent] = []              # acknowledged, not read to their ends
        self.unanswered: list[tuple[Sent, bool]] = []  # and whether it comes in parts
        self.allowed = most
        super().__init__(scheduler)

    def live(self) -> None:
        with Session(self.scheduler) as c:
            for sent in self.open:
                self.settle(sent, c.show(sent.job))
            for sent, in_parts in list(self.unanswered):
                self.send(c, sent, in_parts)
            while not self.ending.is_set():
                if self.count < self.allowed and self.random.random() < 0.5:
                    self.submit(c)
                elif self.open:
                    self.read(c, self.random.choice(self.open))
                else:
                    self.ending.wait(0.005)

    def submit(self, c: Session) -> None:
        kind = self.kinds[self.count % len(self.kinds)]
        n = self.random.randint(1, self.items)
        payloads = [b"\0" if kind == "noop" else self.random.randbytes(16) for _ in range(n)]
        if kind == "noop" and self.random.random() < self.poison:
            payloads = [b"\2"]
            n = 1
        sent = self.ledger.intend(f"{self.title}-{self.count}", kind, payloads)
        self.count += 1
        self.send(c, sent, in_parts=self.count % 8 == 0 and n > 1)

    def send(self, c: Session, sent: Sent, in_parts: bool) -> None:
        first = len(sent.payloads) // 2 if in_parts else len(sent.payloads)
        is_repeated = (sent, in_parts) in self.unanswered
        if not is_repeated:
            self.unanswered.append((sent, in_parts))
        answer = c.ask(SUBMIT, self.submission(sent, first, not in_parts), ACCEPTED)
        self.unanswered.remove((sent, in_parts))
        sent.job, sent.items, sent.sealed = answer[1], answer[2], not in_parts
        assert sent.items == first, answer
        self.open.append(sent)
        if is_repeated and in_parts:  # of a session that ended
            self.settle(sent, c.show(sent.job))
        if not sent.sealed and not sent.cancelled:
            items = self.pack(sent)[first:]
            answer = c.ask(ADD, {1: sent.job, 2: first, 3: items, 4: True}, ACCEPTED)
            sent.items, sent.sealed = answer[2], True

    def submission(self, sent: Sent, first: int, sealed: bool) -> dict:
        attempts = 3 if sent.payloads[0] == b"\2" else 100
        return {1: sent.kind, 5: sent.name, 6: attempts, 7: self.pack(sent)[:first], 8: sealed,
                9: hashlib.blake2b(sent.name.encode(), digest_size=16).digest()}

    @staticmethod
    def pack(sent: Sent) -> list[dict]:
        return noop_items([p[0] for p in sent.payloads]) if sent.kind == "noop" else [{3: p} for p in sent.payloads]

    @staticmethod
    def settle(sent: Sent, row: dict) -> None:
        """What became of a job that was not acknowledged as sealed: it is cancelled, or sealed, or still open."""
        if sent.sealed:
            return
        sent.cancelled = row[2] == JOB_CANCELLED
        sent.sealed = row[2] in (JOB_ACTIVE, JOB_DONE)
        if sent.sealed:
            sent.items = len(sent.payloads)

    def read(self, c: Session, sent: Sent) -> None:
        outcomes, row = read_outcomes(c, sent.job, len(sent.seen))
        sent.seen += outcomes
        if row[2] >= 2:
            sent.over = True
            self.open.remove(sent)


class WorkerSession(Session):
    """The worker's side of one life of the scheduler."""

    def __init__(self, scheduler: Scheduler, name: str, kinds: list[str], held: list[int], pid: int | None = None) -> None:
        super().__init__(scheduler, socket="worker.sock")
        self.engaged = self.ask(READY, {1: name, 2: os.getpid() if pid is None else pid, 5: kinds, 7: held}, ENGAGED)

    take = Worker.take
    report = Worker.report

    def __exit__(self, *_: object) -> None:
        self.close()


class DrillWorker(Actor):
    """Does items of kind drill, a few at a time, with short sleeps; a report is kept until it is answered."""

    def __init__(self, scheduler: Scheduler, log: WorkLog, name: str, seed: int, credits: int = 8, sleep_s: float = 0.004) -> None:
        self.log, self.title, self.random, self.credits, self.sleep_s = log, name, random.Random(seed), credits, sleep_s
        self.held: dict[int, bytes] = {}         # token: payload
        self.reports: list[list[dict]] = []
        super().__init__(scheduler)

    def live(self) -> None:
        waiting = [e[1] for r in self.reports for e in r]
        with WorkerSession(self.scheduler, self.title, ["drill"], [*self.held, *waiting]) as w:
            resumed = set(w.engaged.get(6, []))
            self.held = {t: p for t, p in self.held.items() if t in resumed}
            while not self.ending.is_set():
                while self.reports:
                    self.report(w)
                if not self.held:
                    self.take(w)
                else:
                    self.work(w)

    def report(self, w: WorkerSession) -> None:
        entries = self.reports[0]
        verdicts = w.report(entries)
        assert len(verdicts) == len(entries), verdicts
        for e, v in zip(entries, verdicts):
            self.log.verdict(e[1], v)
        self.reports.pop(0)

    def take(self, w: WorkerSession) -> None:
        try:
            grant = w.take(self.random.randint(1, self.credits), timeout_s=0.5)
        except TimeoutError:
            return
        for lease in grant[4]:
            self.log.grant(lease.get(7, grant[1]), lease[1], lease[2])
            self.held[lease[2]] = lease.get(6, b"")

    def work(self, w: WorkerSession) -> None:
        time.sleep(self.random.random() * self.sleep_s)
        chosen = self.random.sample(sorted(self.held), self.random.randint(1, len(self.held)))
        if self.random.random() < 0.05:
            w.send(RETURN, {1: chosen})
        else:
            self.reports.append([{1: t, 4: drill_result(self.held[t], t)} for t in chosen])
        for t in chosen:
            del self.held[t]
        if self.held:
            w.ask(BEAT, {1: [{1: t} for t in self.held]}, VERDICTS)


def read_to_the_end(scheduler: Scheduler, ledger: Ledger, seconds: float = 60) -> None:
    """Every acknowledged job until it is over, as a client reads it."""
    with Session(scheduler) as c:
        end = time.monotonic() + seconds
        for sent in ledger.acknowledged():
            while not sent.over:
                assert time.monotonic() < end, f"job {sent.job} ({sent.name}) is not over: {c.show(sent.job)}"
                outcomes, row = read_outcomes(c, sent.job, len(sent.seen))
                sent.seen += outcomes
                sent.over = row[2] >= 2
                if not sent.over:
                    time.sleep(0.01)
