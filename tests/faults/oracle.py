"""What must hold after any fault, whatever it was.

The test keeps a log of what was acknowledged to it (`Ledger`), workers of the test keep one of what they were granted and
answered (`WorkLog`), and at the end everything that the scheduler says is read (`read_all`). `check` then compares them:

    acknowledged     every acknowledged job is there, with all its acknowledged items, and no job that nobody sent
    committed once   an item has one outcome; what a client once read stays, in its order
    right            the result is the expected one
    counted          the job's counters are those of a recount of its outcomes
    fenced           no result was committed under a token after the item was granted under a newer one
    no claims left   when all is over nobody holds a lease
    reopened         the journal's own check finds nothing, and a scheduler that is started again on it says the same"""
from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import msgpack
from rig import BIN, Rig, Session

DONE, DEAD = 2, 3              # states of items
JOB_ACTIVE, JOB_DONE, JOB_CANCELLED = 1, 2, 3  # of jobs
KEPT = 1000                    # finished jobs that a scheduler keeps at least (PROTOCOL.md, LIST)
COMMITTED, STALE, DUPLICATE = 1, 2, 3
VOLATILE = (7, 8, 13, 16)      # fields of JOB that a restart may change while it is not over: queued, leased, attempts, progress


def drill_result(payload: bytes, token: int) -> bytes:
    """What the test's own workers return: nobody could guess it from another item's, and it names its token."""
    return msgpack.packb({1: hashlib.blake2b(payload, digest_size=16).digest(), 2: token})


@dataclass
class Sent:
    """One job as the client knows it."""
    name: str
    kind: str
    payloads: list[bytes]         # one per item; what `right` judges the result by
    job: int = 0                  # 0: not acknowledged
    items: int = 0                # acknowledged
    sealed: bool = False          # acknowledged
    cancelled: bool = False       # by us, or by the end of its session
    seen: list[dict] = field(default_factory=list)  # outcomes as they were read
    over: bool = False            # was read to its end


class Ledger:
    """What clients sent, what was acknowledged to them, and what they have read. Any thread may write."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sent: dict[str, Sent] = {}

    def intend(self, name: str, kind: str, payloads: list[bytes]) -> Sent:
        with self.lock:
            assert name not in self.sent
            self.sent[name] = s = Sent(name, kind, payloads)
            return s

    def acknowledged(self) -> list[Sent]:
        with self.lock:
            return [s for s in self.sent.values() if s.job]


class WorkLog:
    """Grants and verdicts, as the test's own workers got them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.granted: dict[tuple[int, int], list[int]] = {}
        self.verdicts: dict[int, list[int]] = {}

    def grant(self, job: int, index: int, token: int) -> None:
        with self.lock:
            self.granted.setdefault((job, index), []).append(token)

    def verdict(self, token: int, verdict: int) -> None:
        with self.lock:
            self.verdicts.setdefault(token, []).append(verdict)


@dataclass
class Dump:
    """All that a scheduler says: jobs by id, outcomes by job in the order of their commit."""
    jobs: dict[int, dict]
    outcomes: dict[int, list[dict]]
    leased: int


def read_outcomes(client: Session, job: int, cursor: int = 0) -> tuple[list[dict], dict]:
    """Those from `cursor` on that are there now, and the job."""
    found: list[dict] = []
    while True:
        page = client.watch(job, cursor, wait_ms=0)
        found += page[2]
        cursor = page[1]
        if not page[2]:
            return found, page[3][0]


def read_all(client: Session) -> Dump:
    jobs = {j[1]: j for j in client.list()}
    outcomes = {job: read_outcomes(client, job)[0] for job in jobs}
    return Dump(jobs, outcomes, client.stats().get(5, 0))


def noop_right(sent: Sent, outcome: dict) -> bool:
    """An item of kind noop; its payload is its action: 0 ends well, 1 fails, 2 crashes (or its lease ended as often)."""
    action = sent.payloads[outcome[1]][0] if sent.payloads[outcome[1]] else 0
    if action == 0:
        return outcome[2] == DONE and 7 in msgpack.unpackb(outcome[5], strict_map_key=False)
    return outcome[2] == DEAD and outcome.get(3) in {1: (1,), 2: (6, 7)}[action]


def drill_right(sent: Sent, outcome: dict) -> bool:
    """An item that a worker of the test has done."""
    result = msgpack.unpackb(outcome.get(5, b"\x80"), strict_map_key=False)
    return outcome[2] == DONE and outcome[5] == drill_result(sent.payloads[outcome[1]], result[2])


RIGHT: dict[str, Callable[[Sent, dict], bool]] = {"noop": noop_right, "drill": drill_right}


def check_job(sent: Sent, job: dict, outcomes: list[dict]) -> None:
    where = f"job {job[1]} ({sent.name})"
    assert job[3] == sent.kind and job.get(4, "") == sent.name, (where, job)
    assert sent.items <= job.get(6, 0) <= len(sent.payloads), f"{where}: {sent.items} items acknowledged, {job}"
    indexes = [o[1] for o in outcomes]
    assert len(set(indexes)) == len(indexes), f"{where}: an item has two outcomes"
    assert not indexes or max(indexes) < job[6], f"{where}: an outcome of no item"
    assert outcomes[: len(sent.seen)] == sent.seen, f"{where}: outcomes that were read before have changed"
    for o in outcomes:
        assert RIGHT[sent.kind](sent, o), f"{where}: item {o[1]} has the outcome {o}"
    done, dead = sum(o[2] == DONE for o in outcomes), sum(o[2] == DEAD for o in outcomes)
    counted = tuple(job.get(k, 0) for k in (9, 10, 12))
    assert counted == (done, dead, done + dead), f"{where}: counters {counted}, recounted {done}, {dead}"
    assert sum(job.get(k, 0) for k in (7, 8, 9, 10, 11)) == job.get(6, 0), f"{where}: {job}"
    if sent.cancelled or not sent.sealed:
        return
    assert job[2] != JOB_CANCELLED and job.get(11, 0) == 0, f"{where}: cancelled, and nobody did it: {job}"


def check_tokens(log: WorkLog, sent_by_id: dict[int, Sent], outcomes: dict[int, list[dict]]) -> None:
    for job, list_of in outcomes.items():
        if job not in sent_by_id or sent_by_id[job].kind != "drill":
            continue
        for o in list_of:
            token = msgpack.unpackb(o[5], strict_map_key=False)[2]
            tokens = log.granted[job, o[1]]
            said = {t: log.verdicts.get(t) for t in tokens}
            assert token == max(tokens), f"job {job} item {o[1]}: committed under {token}, granted and answered {said}"
            for other in tokens:
                verdicts = log.verdicts.get(other, [])
                assert verdicts.count(COMMITTED) <= 1, f"token {other}: {verdicts}"
                assert other == token or set(verdicts) <= {STALE}, f"token {other}: {verdicts}; {token} was committed"


def check(ledger: Ledger, dump: Dump, log: WorkLog | None = None, finished: bool = True) -> None:
    """`finished`: every sealed job must be over."""
    sent_by_id = {s.job: s for s in ledger.acknowledged()}
    names = [j.get(4, "") for j in dump.jobs.values()]
    assert len(set(names)) == len(names), f"sent once, there twice: {sorted(n for n in names if names.count(n) > 1)}"
    for job, row in dump.jobs.items():
        assert row.get(4, "") in ledger.sent, f"job {job} was sent by nobody: {row}"
    for job, sent in sent_by_id.items():
        if job not in dump.jobs:
            assert sent.over and len(sent_by_id) > KEPT, f"job {job} ({sent.name}) was acknowledged and is not there"
            continue
        check_job(sent, dump.jobs[job], dump.outcomes[job])
        if finished and sent.sealed and not sent.cancelled:
            assert dump.jobs[job][2] == JOB_DONE and len(dump.outcomes[job]) == len(sent.payloads), dump.jobs[job]
    if finished:
        assert dump.leased == 0, f"{dump.leased} leases are left when all is over"
    if log:
        check_tokens(log, sent_by_id, dump.outcomes)


def same(before: Dump, after: Dump) -> None:
    """What a restart must not change. Jobs may go by the rule of keeping only, which takes the oldest finished ones."""
    assert set(after.jobs) <= set(before.jobs), sorted(set(after.jobs) - set(before.jobs))
    lost = set(before.jobs) - set(after.jobs)
    assert not lost or len(after.jobs) >= KEPT, f"jobs {sorted(lost)} are gone after the restart"
    for job, row in after.jobs.items():
        old, volatile = before.jobs[job], VOLATILE if row[2] < JOB_DONE else ()
        assert {k: v for k, v in row.items() if k not in volatile} == {k: v for k, v in old.items() if k not in volatile}, (old, row)
        assert after.outcomes[job] == before.outcomes[job], f"job {job}: other outcomes after the restart"


def check_end(rig: Rig, ledger: Ledger, log: WorkLog | None = None, finished: bool = True) -> Dump:
    """All checks, then once more after a restart on the same journal, which must open without a word of damage."""
    with rig.session() as c:
        before = read_all(c)
    check(ledger, before, log, finished)
    if finished and rig.workers:
        rig.stop_workers()
    rig.scheduler.stop()
    fsck = subprocess.run([os.path.join(BIN, "wavemill-scheduler"), "--fsck", rig.scheduler.journal], capture_output=True, check=False)
    assert fsck.returncode == 0, fsck.stdout.decode() + fsck.stderr.decode()
    rig.scheduler.start()
    with rig.session() as c:
        after = read_all(c)
    same(before, after)
    assert "damaged" not in rig.scheduler.messages().replace(" 0 damaged", ""), rig.scheduler.messages()[-2000:]
    return after
