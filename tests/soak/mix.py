"""Many faults at once, chosen at random: mix.py [--seconds N] [--seed N]. Jobs come at a steady pace from two clients, and two
worker processes and two workers of the test do them. Every few seconds something happens: the scheduler is killed, or a worker, or
a compute process; one of them is stopped for longer than a lease; the time of day jumps; clients vanish with their jobs on the way;
bad messages come; a reader falls asleep; an item crashes whoever computes it. At the end everything that was acknowledged must be
done, once, with the right results; on the way the scheduler's memory, descriptors and file are written down."""
from __future__ import annotations

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults"))
# pylint: disable=wrong-import-position
import rig  # noqa: E402
from actors import DrillWorker, Submitter, read_to_the_end  # noqa: E402
from oracle import Ledger, WorkLog, check_end  # noqa: E402
from rig import SHIMS, Options, Rig, Session  # noqa: E402
from wavemill_client import HELLO, MAGIC, SUBMIT, Peer  # noqa: E402

DEFAULT_S, PACE_S, LEASE_MS = 1800, 4.0, 2000


class Mix:
    def __init__(self, o: Options, r: Rig) -> None:
        self.r, self.random, self.seed = r, o.random(), o.seed
        self.ledger, self.log = Ledger(), WorkLog()
        self.happened: dict[str, int] = {}
        self.clock = r.home.path("clock")
        self.asleep: list = []                     # (when it goes on, process id)
        self.notes: list[tuple] = []               # (seconds, MiB, descriptors, KiB of the file)

    def put_clock(self, seconds: int) -> None:
        with open(self.clock + ".new", "w", encoding="ascii") as f:
            f.write(str(seconds))
        os.rename(self.clock + ".new", self.clock)

    # ---- what may happen ----

    def kill_scheduler(self) -> None:
        self.r.scheduler.kill()
        self.r.scheduler.start()

    def kill_worker(self) -> None:
        place = self.random.choice(list(self.r.workers))
        self.wake(self.r.workers[place].pid)
        self.r.workers[place].kill()
        self.r.workers[place].wait(10)
        self.r.start_worker(place)

    def kill_compute_process(self) -> None:
        for pid in self.r.children(self.random.choice(list(self.r.workers)))[:1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def stop_worker(self) -> None:
        self.sleep(self.r.workers[self.random.choice(list(self.r.workers))].pid, 1.5 * LEASE_MS / 1000)

    def stop_scheduler(self) -> None:
        self.sleep(self.r.scheduler.process.pid, 1.0)
        while self.asleep:
            self.wake_those_due()
            time.sleep(0.01)

    def jump_clock(self) -> None:
        """Never past the hour for which finished jobs are kept."""
        self.put_clock(self.random.choice([0, 1200, -1200]))

    def vanish(self) -> None:
        """Clients that send a job that nobody waits for, and are gone; it may be there or not."""
        for n in range(10):
            name = f"vanished {self.happened['vanish']}-{n}"
            self.ledger.intend(name, "noop", [b"\0"] * 5)
            c = Session(self.r.scheduler)
            c.send(SUBMIT, {1: "noop", 5: name, 6: 100, 7: [{}] * 5, 8: True})
            c.close()

    def bad_messages(self) -> None:
        for name in ("client.sock", "worker.sock"):
            p = Peer(f"ipc://{self.r.scheduler.run}/{name}")
            for _ in range(100):
                p.send(0, {}, [MAGIC, self.random.randbytes(8), self.random.randbytes(self.random.randint(0, 2000))])
            time.sleep(0.05)
            p.close()

    def sleeping_reader(self) -> None:
        p = Peer(f"ipc://{self.r.scheduler.run}/client.sock")
        p.send(HELLO, {1: "sleeper"})
        for _ in range(200):
            p.send(16, {2: 1000})
        time.sleep(0.05)
        p.close()

    # ---- around it ----

    def sleep(self, pid: int, seconds: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        self.asleep.append((time.monotonic() + seconds, pid))

    def wake(self, pid: int) -> None:
        if any(p == pid for _, p in self.asleep):
            os.kill(pid, signal.SIGCONT)
        self.asleep = [(t, p) for t, p in self.asleep if p != pid]

    def wake_those_due(self) -> None:
        for when, pid in list(self.asleep):
            if time.monotonic() >= when:
                self.wake(pid)

    def note(self, began: float) -> None:
        pid = self.r.scheduler.process.pid
        size = os.path.getsize(os.path.join(self.r.scheduler.journal, "data.mdb")) / 1024
        self.notes.append((time.monotonic() - began, self.r.scheduler.resident_mib(), len(os.listdir(f"/proc/{pid}/fd")), size))

    def run(self, seconds: float) -> None:
        clients = [Submitter(self.r.scheduler, self.ledger, f"client{i}", self.seed + i, 0, poison=0.01) for i in range(2)]
        workers = [DrillWorker(self.r.scheduler, self.log, f"drill{i}", self.seed + 10 + i) for i in range(2)]
        events = [self.kill_scheduler, self.kill_scheduler, self.kill_worker, self.kill_compute_process, self.stop_worker,
                  self.stop_scheduler, self.jump_clock, self.vanish, self.bad_messages, self.sleeping_reader]
        began = time.monotonic()
        next_event = next_note = began
        while (now := time.monotonic()) < began + seconds:
            for c in clients:
                c.allowed = int(10 * (now - began))
                assert c.failure is None, c.failure
            self.wake_those_due()
            if now >= next_event:
                event = self.random.choice(events)
                self.happened[event.__name__] = self.happened.get(event.__name__, 0) + 1
                event()
                next_event = now + self.random.random() * 2 * PACE_S
            if now >= next_note:
                self.note(began)
                next_note = now + seconds / 20
            time.sleep(0.02)
        for _, pid in list(self.asleep):
            self.wake(pid)
        self.put_clock(0)
        for c in clients:
            c.end()
        read_to_the_end(self.r.scheduler, self.ledger, 300)
        for w in workers:
            w.end()
        with self.r.session() as c:
            rows = {j.get(4): j for j in c.list()}
            c.wait_for(lambda: not any(j[2] < 2 for j in c.list()), 120)
        for sent in self.ledger.sent.values():     # of the vanished
            if not sent.job and sent.name in rows:
                sent.job, sent.items, sent.sealed = rows[sent.name][1], rows[sent.name][6], True
        check_end(self.r, self.ledger, self.log)


def mix(o: Options) -> None:
    seconds = o.seconds or DEFAULT_S
    with Rig("--lease-ms", str(LEASE_MS), "--beat-ms", "200", "--session-timeout-ms", "2000") as r:
        m = Mix(o, r)
        m.put_clock(0)
        r.scheduler.stop()
        r.scheduler.environment |= {"LD_PRELOAD": os.path.join(SHIMS, "wall_clock.so"), "WAVEMILL_CLOCK": m.clock}
        r.scheduler.start()
        r.start_worker(1)
        r.start_worker(2)
        m.run(seconds)
    sent = m.ledger.acknowledged()
    print(f"    {seconds:.0f} s, {sum(m.happened.values())} faults: " + ", ".join(f"{n} {k}" for k, n in sorted(m.happened.items())))
    print(f"    {len(sent)} jobs with {sum(s.items for s in sent)} items acknowledged: none lost, none done twice")
    print("    seconds  MiB resident  descriptors  KiB of the file")
    for row in m.notes:
        print("    {:7.0f}  {:12.1f}  {:11d}  {:15.0f}".format(*row))


if __name__ == "__main__":
    rig.main([mix])
