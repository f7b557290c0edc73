"""The scheduler is killed: at random moments under load, under long items, and in the middle of ten thousand."""
from __future__ import annotations

import time

import rig
from actors import DrillWorker, Submitter, read_to_the_end
from oracle import Ledger, WorkLog, check_end
from rig import Options, Rig, chunks, percentile
from wavemill_client import ACCEPTED, ADD

LEASE_MS = 2000
LEASE = ("--lease-ms", str(LEASE_MS), "--beat-ms", "200")


def killed_at_random_moments(o: Options) -> None:
    """kill -9 from 0 to 50 ms after clients got their first answers, started again at once, again and again, while jobs come
    and are worked on. Whatever was acknowledged is there, once."""
    kills, choice = o.times(200), o.random()
    ledger, log, starts = Ledger(), WorkLog(), []
    with Rig(*LEASE, workers=1) as r:
        clients = [Submitter(r.scheduler, ledger, f"client{i}", o.seed + i, 0) for i in range(2)]
        workers = [DrillWorker(r.scheduler, log, f"drill{i}", o.seed + 10 + i) for i in range(2)]
        for n in range(kills):
            for c in clients:  # few enough to be all kept, and new ones in every life
                c.allowed = c.count + 2
            before = sum(c.count for c in clients)
            end = time.monotonic() + 60
            while sum(c.count for c in clients) == before and time.monotonic() < end:
                time.sleep(0.001)
                assert all(x.failure is None for x in (*clients, *workers)), [x.failure for x in (*clients, *workers)]
            assert sum(c.count for c in clients) > before, f"nobody is served in life {n + 1}"
            time.sleep(choice.random() * 0.05)
            r.scheduler.kill()
            starts.append(r.scheduler.start())
            if n % 250 == 249:  # killed more often than a lease lasts, it never takes back what was granted to nobody
                time.sleep(1.5 * LEASE_MS / 1000)
        for c in clients:
            c.allowed = 0
        time.sleep(0.2)
        for c in clients:
            c.end()
        read_to_the_end(r.scheduler, ledger, 120)
        for w in workers:
            w.end()
        check_end(r, ledger, log)
    jobs, items = len(ledger.acknowledged()), sum(s.items for s in ledger.acknowledged())
    cancelled, again = sum(s.cancelled for s in ledger.acknowledged()), sum(x[6] > 1 for s in ledger.acknowledged() for x in s.seen)
    verdicts = [v for list_of in log.verdicts.values() for v in list_of]
    print(f"    {kills} kills; {jobs} jobs with {items} items acknowledged, none lost; {cancelled} cut off between their parts; "
          f"{again} items tried again; {verdicts.count(3)} reports answered DUPLICATE, {verdicts.count(2)} STALE; "
          f"ready after {1000 * percentile(starts, 0.5):.0f} ms (p50), {1000 * max(starts):.0f} ms (longest)")
    assert jobs >= kills and items > jobs and verdicts.count(1) > 0


def workers_compute_on(o: Options) -> None:
    """The scheduler is killed again and again while a worker computes items that take seconds: it keeps its leases, and
    nothing is computed twice."""
    restarts, threads, choice = o.times(12), 4, o.random()
    ledger = Ledger()
    with Rig(*LEASE, workers=1, threads=threads) as r:
        sent = ledger.intend("long", "noop", [b"\0"] * threads)
        with r.session() as c:
            sent.job = c.submit("noop", [b""] * threads, {1: 250 * restarts + 1000}, name="long")
            sent.items, sent.sealed = threads, True
            c.wait_for(lambda: c.show(sent.job).get(8, 0) == threads)
        for _ in range(restarts):
            time.sleep(0.1 + choice.random() * 0.2)
            r.scheduler.kill()
            r.scheduler.start()
            with r.session() as c:
                row = c.wait_for(lambda: c.stats().get(9) and c.show(sent.job))
                assert row.get(8, 0) + row.get(9, 0) == threads and row[13] == threads, row
        read_to_the_end(r.scheduler, ledger, 60)
        assert all(x[6] == 1 for x in sent.seen), sent.seen
        check_end(r, ledger)
    print(f"    {restarts} restarts, {threads} items of {0.25 * restarts + 1:.1f} s: none computed again")


def timed(times: list[float], call, *arguments):
    began = time.monotonic()
    value = call(*arguments)
    times.append(1000 * (time.monotonic() - began))
    return value


def ten_thousand_and_a_kill(o: Options) -> None:
    """Ten thousand items in batches, four workers, and a scheduler killed midway: all done once, in bounded memory, and
    nobody of low priority overtakes a job of high priority."""
    count, batch = o.times(10000), 500
    ledger, times, resident = Ledger(), [], []
    with Rig(*LEASE, workers=4) as r:
        sent = ledger.intend("many", "noop", [b"\0"] * count)
        with r.session() as c:
            sent.job = c.submit("noop", [], sealed=False, name="many")
            for first, n in chunks(count, batch):
                body = {1: sent.job, 2: first, 3: [{}] * n, 4: first + n == count}
                sent.items = c.ask(ADD, body, ACCEPTED)[2]
                timed(times, c.list)
            sent.sealed = True
            r.scheduler.kill()
        r.scheduler.start()
        with r.session() as c:
            urgent = ledger.intend("urgent", "noop", [b"\0"] * 2000)
            c.wait_for(lambda: c.show(sent.job).get(9, 0) > 0)
            urgent.job = c.submit("noop", [b""] * len(urgent.payloads), priority=100, name="urgent")
            urgent.items, urgent.sealed, looks = len(urgent.payloads), True, 0
            granted = c.show(sent.job)[13]
            while (now := c.show(sent.job)[13]) and c.show(urgent.job).get(7):
                assert now == granted, f"{now - granted} items were granted while some of a higher priority waited"
                looks += 1
            c.wait_over(urgent.job)
            resident.append(r.scheduler.resident_mib())
            while c.show(sent.job)[2] < 2:
                timed(times, c.list)
                timed(times, c.stats)
                resident.append(r.scheduler.resident_mib())
                time.sleep(0.005)
        read_to_the_end(r.scheduler, ledger)
        check_end(r, ledger)
    print(f"    {count} items; LIST and STATS under load p50 {percentile(times, 0.5):.1f} ms, p99 {percentile(times, 0.99):.1f} ms; "
          f"at most {max(resident):.0f} MiB resident; looked {looks} times "
          "while urgent items waited, and no other was granted")
    if o.count is None:
        assert max(resident) <= 64, resident[-1]


if __name__ == "__main__":
    rig.main([killed_at_random_moments, workers_compute_on, ten_thousand_and_a_kill])
