"""Workers behind a network that loses packets, in one direction or both, and is cut: kernel namespaces and real TCP."""
from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

import rig
from actors import Submitter, read_to_the_end
from network import Network
from oracle import Ledger, check_end
from rig import BIN, Options, Rig, percentile
from wavemill_client import run_folder

PORT = 7700

SERVE = f"""
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("0.0.0.0", {PORT})); s.listen()
print("ready", flush=True)
while True:
    c, _ = s.accept()
    c.sendall(b"hello")
    c.close()
"""
ASK = """
import socket, sys
s = socket.socket(); s.settimeout(float(sys.argv[2]))
try:
    s.connect((sys.argv[1], {port})); sys.exit(0 if s.recv(5) == b"hello" else 1)
except (TimeoutError, OSError):
    sys.exit(1)
""".replace("{port}", str(PORT))


@contextlib.contextmanager
def running(*words: str, environment: dict | None = None):
    """A program that says `ready`, until the end of the block."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment)
    try:
        assert process.stdout.readline() == b"ready\n", words
        yield process
    finally:
        process.kill()
        process.communicate()


def reaches(n: Network, i: int, seconds: float) -> bool:
    words = [*n.inside(n.far[i]), sys.executable, "-c", ASK, f"10.77.{i}.1", str(seconds)]
    return subprocess.run(words, check=False).returncode == 0


def the_network_itself(_: Options) -> None:
    """Before anything is concluded from it: whole, it carries; it loses in the direction that it should, and in no other place."""
    with Network(2) as n, running(*n.inside(n.middle), sys.executable, "-c", SERVE):
        assert reaches(n, 0, 5) and reaches(n, 1, 5)
        for to_far, from_far in ((100, 0), (0, 100), (100, 100)):
            n.lose(0, to_far, from_far)
            assert not reaches(n, 0, 0.5) and n.lost(0) > 0 and reaches(n, 1, 5)
        n.lose(0, 15, 15)
        tries = [reaches(n, 0, 10) for _ in range(3)]
        while n.lost(0) == 0 and len(tries) < 40:  # some 8 packets each, of which it is not certain that one goes
            tries.append(reaches(n, 0, 10))
        assert sum(tries) >= 2 * len(tries) / 3 and n.lost(0) > 0, (tries, n.lost(0))
        n.lose(0, 0, 0)
        n.cut(0)
        assert not reaches(n, 0, 0.5) and reaches(n, 1, 5)
        n.cut(0, whole=True)
        assert reaches(n, 0, 10)
    assert not [x for x in os.listdir("/run/netns") if x in (n.middle, *n.far)]


@contextlib.contextmanager
def far_workers(r: Rig, n: Network):
    """A worker process at each far place. Its socket is carried by TCP to the scheduler's."""
    with contextlib.ExitStack() as stack:
        for i, place in enumerate(n.far):
            home = r.home.path(f"far{i}")
            os.makedirs(home, mode=0o700)
            os.makedirs(run_folder(home), mode=0o700, exist_ok=True)
            bridge, tcp = [sys.executable, os.path.join(rig.HERE, "bridge.py")], f"tcp://10.77.{i}.1:{PORT}"
            near, far = (f"ipc://{run}/worker.sock" for run in (r.scheduler.run, run_folder(home)))
            stack.enter_context(running(*n.inside(n.middle), *bridge, tcp, near))
            stack.enter_context(running(*n.inside(place), *bridge, far, tcp))
            r.workers[i] = subprocess.Popen([*n.inside(place), os.path.join(BIN, "wavemill-worker"), "--home", home, "--device", "cpu",
                                             "--threads", "2", "--place", str(i + 1)], env=r.home.environment, stderr=subprocess.DEVNULL)
        yield


def partitions(o: Options) -> None:
    """Two workers far away; again and again the way to one of them loses some or all packets, in one direction or both, or the
    cable is out, for up to three times the lease, and heals. Each item is done once all the same."""
    rounds, choice, ledger, healed = o.times(5), o.random(), Ledger(), []
    with Rig("--lease-ms", "1000", "--beat-ms", "100") as r, Network(2) as n, far_workers(r, n):
        client = Submitter(r.scheduler, ledger, "client", o.seed, 20, kinds=("noop",))

        def commits(pid: int) -> int:
            client.allowed = client.count + 1  # there is always something to do
            return next((w.get(7, 0) for w in c.stats().get(9, []) if w[4] == pid), 0)

        with r.session() as c:
            c.wait_for(lambda: len(c.stats().get(9, [])) == 2)
            for turn in range(rounds):
                i = choice.randrange(2)
                how = [(100, 100), (100, 0), (0, 100), (40, 40), None][turn % 5]
                if how:
                    n.lose(i, *how)
                else:
                    n.cut(i)
                end = time.monotonic() + 0.2 + choice.random() * 2.8
                while time.monotonic() < end:
                    commits(0)
                    time.sleep(0.02)
                n.lose(i, 0, 0)
                n.cut(i, whole=True)
                began, pid = time.monotonic(), r.workers[i].pid
                done = commits(pid)
                c.wait_for(lambda: commits(pid) not in (0, done))
                healed.append(1000 * (time.monotonic() - began))
        client.allowed = 0
        client.end()
        read_to_the_end(r.scheduler, ledger)
        again = sum(x[6] > 1 for s in ledger.acknowledged() for x in s.seen)
        check_end(r, ledger)
    jobs, items = len(ledger.acknowledged()), sum(s.items for s in ledger.acknowledged())
    print(f"    {rounds} partitions; {jobs} jobs, {items} items, {again} of them tried again; a worker gets results committed "
          f"{percentile(healed, 0.5):.0f} ms (p50), {max(healed):.0f} ms (longest) after it heals")


if __name__ == "__main__":
    rig.main([the_network_itself, partitions])
