"""Workers and their compute processes are killed and stopped; items that kill whoever computes them."""
from __future__ import annotations

import os
import signal
import time

import msgpack
import numpy as np
import rig
from journey import write_wav
from oracle import COMMITTED, STALE, Ledger, Sent, check_end
from proxy import Proxy
from rig import Options, Rig, Session, noop_items, signal_and_wait_stopped
from wavemill_client import ACCEPTED, SUBMIT

LEASE_MS = 1000
LEASE = ("--lease-ms", str(LEASE_MS), "--beat-ms", "100")


def submit(c: Session, ledger: Ledger, name: str, actions: list[int], sleep_ms: int = 0) -> Sent:
    sent = ledger.intend(name, "noop", [bytes([a]) for a in actions])
    body = {1: "noop", 2: msgpack.packb({1: sleep_ms}), 5: name, 7: noop_items(actions), 8: True}
    answer = c.ask(SUBMIT, body, ACCEPTED)
    sent.job, sent.items, sent.sealed = answer[1], answer[2], True
    return sent


def holder(r: Rig, c: Session) -> int:
    """The place of the worker that holds a lease."""
    row = c.wait_for(lambda: next((w for w in c.stats().get(9, []) if w.get(6)), None))
    return next(place for place, process in r.workers.items() if process.pid == row[4])


def kill_within(r: Rig, c: Session, ledger: Ledger, name: str, after_s: float, length_ms: int) -> float:
    """Kills what computes an item of that length, `after_s` after it began, and waits until another worker has done it. Seconds from
    the kill to the next grant. Where the machine was so slow that the item was over by then, once more."""
    for attempt in range(10):
        sent = submit(c, ledger, f"{name} {attempt}", [0], length_ms)
        place = holder(r, c)
        time.sleep(after_s)
        is_worker = name.startswith("worker")
        began = time.monotonic()
        os.kill(r.workers[place].pid if is_worker else r.children(place)[0], signal.SIGKILL)
        c.wait_for(lambda: c.show(sent.job)[13] == 2 or c.show(sent.job)[2] == 2)
        took = time.monotonic() - began
        row = c.wait_over(sent.job)
        if is_worker:
            r.workers[place].wait(10)
            r.start_worker(place)
        c.wait_for(lambda: len(c.stats().get(9, [])) == 2)
        if row[13] >= 2:  # or 3: the other one was so slow that it lost its lease, too
            assert row.get(9) == 1, row
            return took
        assert row[13] == 1 and row.get(9) == 1, row
    raise AssertionError(f"{name}: the item is always over before it can be killed")


def killed_within_an_item(o: Options) -> None:
    """kill -9 at a tenth, the half and nine tenths of an item: of the compute process, which its worker notices at once; and of
    the whole worker, whose lease must run out. Then another worker does the item."""
    length_ms = 600
    with Rig(*LEASE, workers=2) as r:
        ledger, c = Ledger(), r.session()
        for turn in range(o.times(1)):
            for what in ("compute process", "worker"):
                for part in (0.1, 0.5, 0.9):
                    took = kill_within(r, c, ledger, f"{what} {part} {turn}", part * length_ms / 1000, length_ms)
                    print(f"    {what} killed at {part:.0%}: granted again after {1000 * took:.0f} ms")
        c.close()
        check_end(r, ledger)


def no_partial_file(o: Options) -> None:
    """A worker that is killed while it writes an array: under the name that was asked for there is nothing, or all of it."""
    choice = o.random()
    with Rig(*LEASE, workers=1) as r:
        sound, out = r.home.path("noise.wav"), r.home.path("out")
        os.mkdir(out)
        write_wav(sound, data=np.random.default_rng(1).integers(-9999, 9999, 6_000_000, dtype=np.int16).tobytes())
        states = []
        with r.session() as c:
            for n in range(o.times(6)):
                target = os.path.join(out, f"{n}.npy")
                job = c.submit("features", [sound.encode()], {1: 2048, 2: 512, 20: True, 22: "stft"}, [{1: target.encode()}])
                c.wait_for(lambda: c.show(job).get(8, 0) == 1)
                time.sleep(choice.random() * 0.4)
                r.workers[1].kill()
                r.workers[1].wait(10)
                states.append(os.path.exists(target))
                if states[-1]:
                    assert np.load(target).shape[0] == 1025
                r.start_worker(1)  # the same place: what the dead one held is queued at once
                row = c.wait_over(job)
                assert row.get(9) == 1, row
                array = np.load(target)
                assert array.shape == (1025, 1 + 6_000_000 // 512) and np.isfinite(array[:, ::997]).all()
        left = [p for p in os.listdir(out) if p.endswith(".part")]
        for name in left:  # killed in the moment before it gets its name: all of it is there
            assert np.load(os.path.join(out, name)).shape == (1025, 1 + 6_000_000 // 512)
        print(f"    {len(states)} kills, {sum(states)} after the file was there; {len(left)} temporary files left")
        assert sorted(os.listdir(out)) == sorted([f"{n}.npy" for n in range(len(states))] + left)


def stopped_worker(o: Options) -> None:
    """A worker that stands still until its lease is over loses the item; when it wakes up its report, if it sends one,
    is refused as STALE, the other's result stays, and it works on."""
    for turn in range(o.times(1)):
        with Rig(*LEASE, workers=2, behind=True) as r, Proxy(r.scheduler.run, r.home.home, o.seed + turn) as p:
            ledger, c = Ledger(), r.session()
            for attempt in range(10):
                c.wait_for(lambda: len(c.stats().get(9, [])) == 2)
                sent = submit(c, ledger, f"stopped {attempt}", [0], 800)
                place = holder(r, c)
                signal_and_wait_stopped(r.workers[place].pid)
                row = c.wait_over(sent.job)
                assert row.get(9) == 1, row
                if row[13] == 2:
                    break
                os.kill(r.workers[place].pid, signal.SIGCONT)  # over before it stood still; or the other lost its lease, too: once more
            assert row[13] == 2, row
            first, second = p.log.granted[sent.job, 0]
            assert p.granted_to[first] != p.granted_to[second] and second > first
            os.kill(r.workers[place].pid, signal.SIGCONT)
            pid = r.workers[place].pid
            c.wait_for(lambda: any(w[4] == pid for w in c.stats().get(9, [])))
            other = r.workers.pop(next(q for q in r.workers if q != place))
            other.terminate()
            other.wait(10)
            c.wait_for(lambda: len(c.stats().get(9, [])) == 1)
            more = submit(c, ledger, "more", [0] * 20)
            assert c.wait_over(more.job).get(9) == 20
            late = p.log.verdicts.get(first, [])
            assert set(late) <= {STALE} and p.log.verdicts[second] == [COMMITTED], p.log.verdicts
            print(f"    woken up: {'its report was refused as STALE' if late else 'it was told so before it reported'}")
            c.close()
            check_end(r, ledger)


def stopped_child(o: Options) -> None:
    """A compute process that stands still is killed after the time without progress, and the item is tried again."""
    stall_ms = 2500  # the item says nothing for 900 ms, and on a busy machine for longer
    with Rig("--beat-ms", "100", workers=1, worker_options=("--stall-ms", str(stall_ms))) as r:
        ledger, c = Ledger(), r.session()
        for turn in range(o.times(2)):
            for attempt in range(10):
                sent = submit(c, ledger, f"stopped {turn} {attempt}", [0], 900)
                c.wait_for(lambda: c.show(sent.job).get(13) == 1 and r.children(1))
                child = r.children(1)[0]
                time.sleep(0.1)
                began = time.monotonic()
                signal_and_wait_stopped(child)
                c.wait_for(lambda: c.show(sent.job)[13] == 2 or c.show(sent.job)[2] == 2)
                took = time.monotonic() - began
                row = c.wait_over(sent.job)
                assert row.get(9) == 1, row
                if row[13] > 1:
                    break
                os.kill(child, signal.SIGCONT)  # the machine was so slow that the item was over by then
            assert row[13] > 1 and not os.path.exists(f"/proc/{child}"), row
            print(f"    stopped compute process: granted again after {1000 * took:.0f} ms (limit {stall_ms})")
        c.close()
        check_end(r, ledger)


def poison(o: Options) -> None:
    """Items that crash the compute process: dead after three attempts, tried by two workers where there are two; the healthy
    ones around them are done, and the workers live."""
    for workers in (1, 2):
        with Rig(workers=workers, threads=2, behind=True) as r, Proxy(r.scheduler.run, r.home.home, o.seed) as p:
            ledger, c = Ledger(), r.session()
            c.wait_for(lambda: len(c.stats().get(9, [])) == workers)
            pids = sorted(w[4] for w in c.stats()[9])
            healthy, bad = o.times(100), [17, 60]
            sent = submit(c, ledger, "poison", [2 if i in bad else 0 for i in range(healthy + len(bad))], 2)
            row = c.wait_over(sent.job)
            assert (row.get(9), row.get(10)) == (healthy, len(bad)), row
            for index in bad:
                tokens = p.log.granted[sent.job, index]
                tried_by = {p.granted_to[t] for t in tokens}
                assert [p.attempt[t] for t in tokens] == [1, 2, 3] and len(tried_by) == workers, (tokens, tried_by)
            assert sorted(w[4] for w in c.stats()[9]) == pids
            tried = [len(p.log.granted[sent.job, i]) for i in range(healthy + len(bad)) if i not in bad]
            print(f"    {workers} workers: {healthy} healthy items done, {sum(t > 1 for t in tried)} of them granted more than once")
            c.close()
            check_end(r, ledger)


if __name__ == "__main__":
    rig.main([killed_within_an_item, no_partial_file, stopped_worker, stopped_child, poison])
