"""The journal's disk: calls that fail, no space, flipped bits, missing parts, files of a later version, and its size."""
from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time

import damage
import rig
from actors import WorkerSession
from oracle import Dump, Ledger, Sent, check, check_end, drill_result, read_all, same
from rig import SHIMS, Gone, Options, Rig, Session
from wavemill_client import ACCEPTED, SUBMIT, Refused

FINISHED = 15  # a job's time of its end

BUSY = 7  # code of ERROR

LEASE = ("--lease-ms", "2000", "--beat-ms", "200")


def submit(c: Session, ledger: Ledger, payloads: list[bytes], params: bytes = b"", kind: str = "drill") -> Sent:
    sent = ledger.intend(f"{kind}-{len(ledger.sent)}", kind, payloads)
    answer = c.ask(SUBMIT, {1: kind, 2: params, 5: sent.name, 6: 100, 7: [{3: p} for p in payloads], 8: True}, ACCEPTED)
    sent.job, sent.items, sent.sealed = answer[1], answer[2], True
    return sent


def work(w: WorkerSession, sent: Sent) -> None:
    """All items of a job, and what is left of older ones."""
    left = len(sent.payloads)
    while left:
        grant = w.take(100)
        left -= sum(x.get(7, grant[1]) == sent.job for x in grant[4])
        assert set(w.report([{1: x[2], 4: drill_result(x.get(6, b""), x[2])} for x in grant[4]])) == {1}


def fail_once(r: Rig, ledger: Ledger, n: int, mark: str) -> bool:
    """Works with the scheduler until its n-th call fails. Each answer must have come before."""
    r.scheduler.environment |= {"LD_PRELOAD": os.path.join(SHIMS, "fail_nth.so"), "WAVEMILL_FAIL_AT": str(n), "WAVEMILL_FAIL_MARK": mark}
    with contextlib.suppress(FileNotFoundError):
        os.unlink(mark)
    starts = True
    try:
        r.scheduler.start()
    except AssertionError:
        assert os.path.exists(mark), "it does not start, and nothing has failed"
        starts = False
    try:
        if starts:
            with Session(r.scheduler) as c, WorkerSession(r.scheduler, "w", ["drill"], []) as w:
                for _ in range(40):
                    sent = submit(c, ledger, [os.urandom(40) for _ in range(3)], os.urandom(2000))
                    assert not os.path.exists(mark), f"call {n} failed, and the job was acknowledged"
                    work(w, sent)
                    assert not os.path.exists(mark), f"call {n} failed, and the results were acknowledged"
            raise AssertionError(f"call {n} never came")
    except Gone:
        pass
    except TimeoutError as e:
        raise AssertionError(f"call {n} failed, and the scheduler stays") from e
    status = r.scheduler.process.wait(10)
    assert status > 0 and os.path.exists(mark), (n, status)
    r.scheduler.ready.clear()
    for name in ("LD_PRELOAD", "WAVEMILL_FAIL_AT", "WAVEMILL_FAIL_MARK"):
        del r.scheduler.environment[name]
    return starts


def nth_call_fails(o: Options) -> None:
    """Every single write and sync of the journal fails once: nothing is acknowledged after it, the scheduler ends with an error,
    and the next one has all that was acknowledged. On a new journal, and on one that has grown."""
    calls, starts = o.times(40), 0
    for fresh in (True, False):
        ledger = Ledger()
        with Rig(*LEASE) as r:
            submit_first(r, ledger)
            for n in range(1, calls + 1):
                if fresh:
                    shutil.rmtree(r.scheduler.journal)
                    ledger = Ledger()
                starts += not fail_once(r, ledger, n, r.home.path("mark"))
                r.scheduler.start()
                with r.session() as c:
                    forget_unanswered(c, ledger)
                    check(ledger, read_all(c), finished=False)
                r.scheduler.stop()
            messages = r.scheduler.messages()
            assert "damaged and left out" not in messages, messages[-2000:]
            said = messages.count("Input/output error")
            assert said >= calls, f"{calls} failures, {said} messages of them"
            r.scheduler.start()
    print(f"    {2 * calls} failed calls, {starts} of them at a start")


def submit_first(r: Rig, ledger: Ledger) -> None:
    with r.session() as c:
        for _ in range(50):
            submit(c, ledger, [os.urandom(40) for _ in range(3)], os.urandom(2000), "nobody")
    r.scheduler.stop()


def forget_unanswered(c: Session, ledger: Ledger) -> None:
    """A job that was not acknowledged may be there or not; what is read of it is not judged."""
    kept = {j.get(4, ""): j for j in c.list()}
    for sent in ledger.sent.values():
        row = kept.get(sent.name)
        if not sent.job and row:
            sent.job, sent.items, sent.sealed = row[1], row[6], row[2] > 0


@contextlib.contextmanager
def small_disk(path: str, mib: int):
    os.makedirs(path, mode=0o700, exist_ok=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "tmpfs", path], capture_output=True, check=False)
    assert made.returncode == 0, f"this test needs to mount a small tmpfs, as root: {made.stderr.decode().strip()}"
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def fill(path: str) -> None:
    """Takes what is left of the disk, as a neighbour would."""
    with open(os.path.join(path, "neighbour"), "wb", buffering=0) as f:
        with contextlib.suppress(OSError):
            while f.write(bytes(4096)) == 4096:
                pass


def is_taken(c: Session, ledger: Ledger) -> bool:
    """A new job; what is refused is not in the ledger."""
    try:
        submit(c, ledger, [b"x"] * 3)
    except Refused as e:
        assert e.code == BUSY, e
        del ledger.sent[next(reversed(ledger.sent))]
        return False
    return True


def do_all(r: Rig, c: Session, ledger: Ledger) -> None:
    """What was acknowledged, by a worker of its own."""
    with WorkerSession(r.scheduler, f"worker {time.monotonic()}", ["drill"], []) as w:
        for sent in ledger.acknowledged():
            while c.show(sent.job)[2] < 2:
                grant = w.take(100)
                assert set(w.report([{1: x[2], 4: drill_result(x.get(6, b""), x[2])} for x in grant[4]])) == {1}


def disk_full(o: Options) -> None:
    """New jobs fill the journal's disk until they are refused, and then a neighbour takes what is left of it: the jobs that were
    acknowledged are done all the same, and with space again new ones are taken, without a new start."""
    for round_number in range(o.times(3)):
        ledger = Ledger()
        with Rig(*LEASE) as r, contextlib.ExitStack() as stack:
            r.scheduler.stop()
            journal = r.scheduler.journal
            shutil.rmtree(journal)
            stack.enter_context(small_disk(journal, 16))
            r.scheduler.start()
            with r.session() as c:
                refused = False
                while not refused:
                    assert len(ledger.sent) < 2000, "far too much went into 16 MiB"
                    try:
                        submit(c, ledger, [os.urandom(40)] * 4, os.urandom(20000 + 7000 * round_number))
                    except Refused as e:
                        assert e.code == BUSY, e
                        del ledger.sent[next(reversed(ledger.sent))]
                        refused = True
                fill(journal)
                assert not is_taken(c, ledger)
                do_all(r, c, ledger)
                assert not is_taken(c, ledger) and r.scheduler.lives == 2 and r.scheduler.runs()
                os.unlink(os.path.join(journal, "neighbour"))
                subprocess.run(["mount", "-o", "remount,size=64m", journal], check=True)
                c.wait_for(lambda: is_taken(c, ledger))
                do_all(r, c, ledger)
                assert r.scheduler.lives == 2 and r.scheduler.runs()
            check_end(r, ledger)
            print(f"    {len(ledger.sent)} jobs acknowledged, all of them done; the others refused while the disk was full")
            r.scheduler.kill()


# ---- damage ----


def known_journal(r: Rig, ledger: Ledger) -> tuple[bytes, Dump]:
    """Jobs that are done, one that waits, one half done; the file's bytes after the scheduler has ended."""
    with r.session() as c, WorkerSession(r.scheduler, "w", ["drill"], []) as w:
        for n in range(12):
            work(w, submit(c, ledger, [os.urandom(30) for _ in range(1 + 4 * n)], os.urandom(100 * n)))
        submit(c, ledger, [os.urandom(3000) for _ in range(10)], kind="nobody")
        dump = read_all(c)
    r.scheduler.stop()
    return damage.read(r.scheduler.journal), dump


def how_it_ended(r: Rig) -> str:
    status = r.scheduler.process.wait(10)
    assert status, "it ended as if nothing had been"
    return "refused" if status > 0 else f"ended by signal {-status}"


def judge(r: Rig, dump: Dump, data: bytes) -> str:
    """Starts on a damaged file. What it says of a job must be what it said before; what it leaves out it must have named."""
    damage.write(r.scheduler.journal, data)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(r.scheduler.log)
    try:
        r.scheduler.start()
    except AssertionError:
        return how_it_ended(r)
    try:
        with Session(r.scheduler) as c:
            c.timeout_s = 10
            after = read_all(c)
            lost = sorted(set(dump.jobs) - set(after.jobs))
            kept = Dump({k: v for k, v in dump.jobs.items() if k in after.jobs}, dump.outcomes, 0)
            if "is damaged" in r.scheduler.messages():
                # a mark "finished" whose key now names a neighbour: that one is left out by name, and the mark's own job, whose
                # outcomes are all there, ends once more, now
                for number, row in after.jobs.items():
                    before = kept.jobs[number]
                    if FINISHED in row and FINISHED in before and row[FINISHED] > before[FINISHED]:
                        row[FINISHED] = before[FINISHED]
            same(kept, after)
            job = c.ask(SUBMIT, {1: "nobody", 8: True}, ACCEPTED)[1]
            assert job not in dump.jobs, f"job number {job} is given twice"
    except Gone:
        return how_it_ended(r) + " while it served"
    r.scheduler.stop()
    assert len(damage.read(r.scheduler.journal)) >= len(data), "the journal was made shorter"
    if not lost:
        return "harmless"
    said = r.scheduler.messages()
    assert all(f"job {n} is damaged" in said for n in lost), f"jobs {lost} are gone without a word\n{said[-800:]}"
    return "jobs left out by name"


def damaged_file(o: Options) -> None:
    """Bits flipped, the end cut off, pages zeroed: whatever the scheduler then says of a job is what it said before; what it
    cannot read it names; it deletes nothing."""
    choice = o.random()
    with Rig(*LEASE) as r:
        data, dump = known_journal(r, Ledger())
        pages = len(data) // damage.PAGE
        found: dict[str, dict[str, int]] = {}
        n, sizes = o.times(200), damage.key_sizes(data)
        assert len(sizes) > 300, len(sizes)
        trials = [("bit", choice.randrange(8 * len(data))) for _ in range(n)]
        trials += [("size of a key", 8 * choice.choice(sizes) + choice.randrange(16)) for _ in range(n // 8)]
        trials += [("number in a key", 8 * (choice.choice(sizes) + 8) + choice.randrange(16)) for _ in range(n // 8)]
        trials += [("head of a page", 8 * damage.PAGE * choice.randrange(pages) + 80 + choice.randrange(48)) for _ in range(n // 4)]
        trials += [("cut", choice.randrange(len(data))) for _ in range(n // 8)]
        trials += [("zeroed page", p) for p in range(pages)]
        for what, at in trials:
            changed = bytearray(data)
            if what == "cut":
                del changed[at:]
            elif what != "zeroed page":
                changed[at // 8] ^= 1 << at % 8
            else:
                changed[at * damage.PAGE : (at + 1) * damage.PAGE] = bytes(damage.PAGE)
            try:
                verdict = judge(r, dump, bytes(changed))
            except AssertionError as e:
                raise AssertionError(f"{what} {at} of {len(data)} bytes: {e}") from e
            counts = found.setdefault(what, {})
            counts[verdict] = counts.get(verdict, 0) + 1
        damage.write(r.scheduler.journal, data)
        r.scheduler.start()
        with r.session() as c:
            same(dump, read_all(c))
    for what, counts in found.items():
        print(f"    {what}: " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())))


def of_a_later_version(_: Options) -> None:
    """A journal of a later program is refused, and stays as it is."""
    with Rig(*LEASE) as r:
        data, dump = known_journal(r, Ledger())
        for in_head in (False, True):
            later = damage.of_version(data, 9, in_head)
            damage.write(r.scheduler.journal, later)
            r.scheduler.start(want="E")
            assert r.scheduler.process.returncode == 5
            assert "written by version 9, this program knows" in r.scheduler.messages(), r.scheduler.messages()
            assert damage.read(r.scheduler.journal) == later
            os.unlink(r.scheduler.log)
        damage.write(r.scheduler.journal, data)
        r.scheduler.start()
        with r.session() as c:
            same(dump, read_all(c))


def one_old_job_under_many(o: Options) -> None:
    """One job waits for a worker that never comes while many others come, are done, and are forgotten: the journal's file does not
    grow with them."""
    jobs, sizes = o.times(6000), []
    with Rig(*LEASE, workers=2) as r:
        with r.session() as c:
            old = c.submit("nobody", [b"/somewhere"] * 10, name="old")
            for n in range(0, jobs, 250):
                asked = [c.send(SUBMIT, {1: "noop", 7: [{}], 8: True}) for _ in range(250)]
                got = [c.receive() for _ in asked]
                assert all(g and g[0] == ACCEPTED for g in got)
                c.wait_for(lambda: c.stats().get(3, 0) == 1)
                sizes.append(os.path.getsize(os.path.join(r.scheduler.journal, "data.mdb")) / 1024)
            assert c.show(old).get(7) == 10
        r.scheduler.stop()
        r.scheduler.start()
        with r.session() as c:
            assert c.show(old).get(7) == 10 and c.show(old)[2] == 1
            kept = len(c.list())
    warm = sizes[len(sizes) // 2]
    print(f"    {jobs} jobs came and went, {kept} are kept; the file has {sizes[0]:.0f} KiB after 250, {warm:.0f} after {jobs // 2}, "
          f"{sizes[-1]:.0f} at the end")
    assert sizes[-1] <= 1.25 * warm


if __name__ == "__main__":
    rig.main([nth_call_fails, disk_full, damaged_file, of_a_later_version, one_old_job_under_many])
