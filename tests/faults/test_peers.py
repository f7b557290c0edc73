"""Peers that do not read, and peers that send what no peer should: the scheduler stays, stays small, and serves the others."""
from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import time

import rig
from actors import WorkerSession
from oracle import Ledger, check_end
from rig import Options, Rig, percentile, signal_and_wait_stopped
from wavemill_client import ACCEPTED, ADD, ERROR, HELLO, MAGIC, PING, PONG, READY, REPORT, SUBMIT, Peer

LEASE = ("--lease-ms", "2000", "--beat-ms", "200")


def big_job(r: Rig, ledger: Ledger, items: int, result_bytes: int) -> int:
    """Done, with results of that size."""
    with r.session() as c, WorkerSession(r.scheduler, "w", ["bulk"], []) as w:
        sent = ledger.intend("bulk", "bulk", [b""] * items)
        sent.job = c.submit("bulk", [b""] * 0, name="bulk", sealed=False)
        for at in range(0, items, 1000):
            sent.items = c.ask(ADD, {1: sent.job, 2: at, 3: [{}] * min(1000, items - at), 4: at + 1000 >= items}, ACCEPTED)[2]
        sent.sealed = True
        left = items
        while left:
            grant = w.take(500)
            left -= len(grant[4])
            w.report([{1: x[2], 4: bytes(result_bytes)} for x in grant[4]])
    return sent.job


def served(r: Rig, rounds: int) -> list[float]:
    """Milliseconds of durable submits of one client."""
    times = []
    with r.session() as c:
        for _ in range(rounds):
            began = time.monotonic()
            c.ask(SUBMIT, {1: "nobody", 8: True}, ACCEPTED)
            times.append(1000 * (time.monotonic() - began))
    return times


@contextlib.contextmanager
def watcher(r: Rig, job: int, limit: int, pause: float, flood: int = 0):
    process = subprocess.Popen([sys.executable, os.path.join(rig.HERE, "watcher.py"), f"ipc://{r.scheduler.run}/client.sock", str(job),
                                str(limit), str(pause), str(flood)], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def slow_readers(o: Options) -> None:
    """One client reads ten outcomes at a time, another is stopped with its question on the way: the scheduler does not grow, others
    are served, and the slow ones read everything in the end. One that asks thousands of times and never reads costs what a
    thousand answers weigh, no more."""
    items, ledger, page_kib = o.times(10000), Ledger(), 256
    with Rig(*LEASE) as r:
        job = big_job(r, ledger, items, 200)
        alone, before = served(r, 200), r.scheduler.resident_mib()
        with watcher(r, job, 10, 0.02), watcher(r, job, 1000, 0.05) as stopped:
            signal_and_wait_stopped(stopped.pid)
            beside, during = served(r, 200), r.scheduler.resident_mib()
            os.kill(stopped.pid, signal.SIGCONT)
            read = [int(stopped.stdout.readline())]
            while read[-1] < items:
                read.append(int(stopped.stdout.readline()))
        assert during - before <= 16, f"{during - before} MiB more for two slow readers"
        with watcher(r, job, 1000, 0, 5000) as stopped:
            signal_and_wait_stopped(stopped.pid)
            flooded = served(r, 200)
            rise = r.scheduler.resident_mib() - before
        with r.session() as c:
            c.wait_for(lambda: c.stats().get(6) == 1)
        left = r.scheduler.resident_mib() - before
        assert rise <= 1000 * (page_kib + 8) / 1024 + 16, f"{rise} MiB more for one that never reads"
    for what, times in (("alone", alone), ("beside a slow and a stopped reader", beside), ("beside one that never reads", flooded)):
        print(f"    a submit {what}: p50 {percentile(times, 0.5):.1f} ms, p99 {percentile(times, 0.99):.1f} ms")
    print(f"    {during - before:.1f} MiB more for two slow readers; {rise:.0f} for one that asks 5000 times and never reads, "
          f"of which {left:.0f} stay")


# ---- bad messages ----

def bodies(o: Options) -> dict[str, bytes]:
    choice = o.random()
    return {"nothing": b"", "an array that claims 4 billion": b"\xdd\xff\xff\xff\xff",
            "a map that claims 4 billion": b"\xdf\xff\xff\xff\xff",
            "bytes that claim 4 GB": b"\x81\x01\xc6\xff\xff\xff\xff", "text that claims 4 GB": b"\x81\x01\xdb\xff\xff\xff\xff",
            "a list that claims 4 billion": b"\x82\x01\xa4noop\x07\xdd\xff\xff\xff\xff",
            "an extension type": b"\x81\x01\xc7\x05\x01hello",
            "a million arrays in each other": b"\x91" * 1000000, "a million maps in each other": b"\x81\x01" * 500000,
            "a mebibyte": bytes(1 << 20), "a number cut short": b"\x81\x01\xcf\x00",
            **{f"random bytes {i}": choice.randbytes(choice.randint(1, 3000)) for i in range(o.times(40))},
            **{f"a map of random bytes {i}": b"\x8f" + choice.randbytes(200) for i in range(o.times(40))}}


def frames_of(o: Options) -> dict[str, list[bytes]]:
    """Whole messages by what is wrong with them."""
    def head(kind: int) -> bytes:
        return struct.pack(">BBHI", kind, 0, 0, 1)

    good = [MAGIC, head(PING), b"\x80"]
    out = {f"{n} frames": (good + [b"more"] * n)[:n] for n in (1, 2, 4, 100, 1000)}
    out |= {"no magic": [b"", head(PING), b"\x80"], "another magic": [b"HTTP", head(PING), b"\x80"],
            "a short header": [MAGIC, b"\x01", b"\x80"], "a long header": [MAGIC, bytes(5000), b"\x80"],
            "empty frames": [b"", b"", b""]}
    for kind in (*range(0, 22), *range(40, 50), 255):
        out |= {f"type {kind}: {what}": [MAGIC, head(kind), body] for what, body in bodies(o).items()
                if kind in (SUBMIT, REPORT) or "random" not in what}
    return out


class Guard:
    """After each bad thing: it runs, has not grown by more than `most` MiB, and answers a good client."""

    def __init__(self, r: Rig) -> None:
        self.r, self.c, self.before, self.worst = r, r.session(), r.scheduler.resident_mib(), 0.0

    def look(self, what: str, most: float = 16) -> None:
        assert self.r.scheduler.process.poll() is None, f"{what}: the scheduler has ended with {self.r.scheduler.process.returncode}"
        rise = self.r.scheduler.resident_mib() - self.before
        assert rise <= most, f"{what}: {rise:.0f} MiB more"
        self.worst = max(self.worst, rise)
        assert self.c.ask(PING, {}, PONG) == {}, what


def bad_messages(o: Options) -> None:
    """Wrong numbers of frames, headers and bodies that lie about their size, deep nesting, random bytes; before and behind a good
    first message, on both sockets: ERROR or silence for the sender, nothing for the others."""
    refused = other = 0
    with Rig(*LEASE) as r:
        guard = Guard(r)
        for name, kind, body in (("client.sock", HELLO, {1: "bad"}), ("worker.sock", READY, {1: "bad", 5: ["bad"]})):
            for greeted in (False, True):
                peer = Peer(f"ipc://{r.scheduler.run}/{name}")
                if greeted:
                    peer.ask(kind, body, kind + 1)
                messages = frames_of(o)
                for what, frames in messages.items():
                    peer.send(0, {}, frames)
                    while (answer := peer.receive(0)) is not None:
                        refused, other = refused + (answer[0] == ERROR), other + (answer[0] != ERROR)
                    guard.look(f"{name}, {what}")
                while (answer := peer.receive(0.3)) is not None:
                    refused, other = refused + (answer[0] == ERROR), other + (answer[0] != ERROR)
                guard.look(f"all {len(messages)} messages")
                peer.close()
        guard.c.close()
        check_end(r, Ledger())
    print(f"    {4 * len(messages)} messages: {refused} answered ERROR, {other} otherwise; at most {guard.worst:.1f} MiB more")
    assert refused > 2 * len(messages)


GREETING = b"\xff" + bytes(7) + b"\x01\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)


def connect(r: Rig, shake_hands: bool = True) -> socket.socket:
    """A socket that speaks ZMTP by hand, as a peer that follows no library's limits."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(os.path.join(r.scheduler.run, "client.sock"))  # waits while others wait to be accepted
    s.settimeout(5)
    if shake_hands:
        s.sendall(GREETING)
        got = b""
        while len(got) < 64:
            got += s.recv(64 - len(got))
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
        s.sendall(b"\x04" + bytes([len(ready)]) + ready)
        assert s.recv(4096)[:1] == b"\x04"
    return s


def push(s: socket.socket, data: bytes, times: int) -> int:
    """Bytes that went through before the other side closed, or would not take more."""
    sent = 0
    try:
        for _ in range(times):
            s.sendall(data)
            sent += len(data)
    except OSError:
        pass
    return sent


def bad_connections(o: Options) -> None:
    """Below the messages: frames of a claimed gigabyte and more, messages of endless frames, no greeting, half a greeting, commands
    nobody knows."""
    choice, block = o.random(), bytes(1 << 20)
    with Rig(*LEASE) as r:
        guard = Guard(r)
        for claimed in (2 << 20, 1 << 30, 1 << 40, (1 << 63) - 1, (1 << 64) - 1):
            s = connect(r)
            sent = push(s, b"\x02" + struct.pack(">Q", claimed), 1) + push(s, block, 64)
            guard.look(f"a frame of a claimed {claimed} bytes")
            assert sent < 32 << 20, f"{sent} bytes of a frame of {claimed} were taken"
            s.close()
        for what, data in (("no greeting", choice.randbytes(4000)), ("half a greeting", GREETING[:11]), ("zeros", bytes(4000)),
                           ("a web browser", b"GET / HTTP/1.1\r\n\r\n"), ("another mechanism", GREETING.replace(b"NULL", b"EVIL"))):
            held = [connect(r, False) for _ in range(o.times(100))]
            for s in held:
                push(s, data, 1)
            guard.look(f"{what} x {len(held)}")
            for s in held:
                s.close()
        for n in range(o.times(100)):
            s = connect(r)
            push(s, bytes([choice.choice([0, 1, 2, 3, 4, 6, 7, 255])]) + choice.randbytes(choice.randint(1, 300)), 3)
            s.close()
        guard.look("random frames and commands")
        s = connect(r)
        sent = push(s, b"\x01\x40" + bytes(64), 200000)
        rise = r.scheduler.resident_mib() - guard.before
        print(f"    a message without end: {sent >> 20} MiB in frames of 64 bytes taken, {rise:.0f} MiB more")
        s.close()
        guard.c.close()
        time.sleep(0.2)
        with r.session() as c:
            assert c.ask(PING, {}, PONG) == {}
        check_end(r, Ledger())
    print(f"    at most {guard.worst:.1f} MiB more otherwise")


if __name__ == "__main__":
    rig.main([slow_readers, bad_messages, bad_connections])
