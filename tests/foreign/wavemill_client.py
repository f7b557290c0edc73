"""A Wavemill client (and worker) in Python, written from scheduler/PROTOCOL.md alone: pyzmq and msgpack, nothing of ours.

    with Client(home) as client:
        job = client.submit("analyze", [b"/music/a.wav"])
        for outcome in client.outcomes(job):
            print(outcome[1], outcome.get(5))

Bodies are dicts with the page's integer keys. Errors of the scheduler raise Refused, silence raises TimeoutError."""
from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Iterator

import msgpack
import zmq

MAGIC = b"WML\x01"
HELLO, WELCOME, PING, PONG, ERROR, BYE = 1, 2, 3, 4, 5, 6
SUBMIT, ADD, ACCEPTED, CANCEL, SHOW, JOB, LIST, JOBS, WATCH, PAGE, STATS, SERVER = range(10, 22)
READY, ENGAGED, TAKE, GRANT, BEAT, VERDICTS, REPORT, COMMITS, RETURN, LEAVE = range(40, 50)
DONE, CANCELLED = 2, 3  # states of a job


class Refused(Exception):
    """The scheduler answered with ERROR."""

    def __init__(self, body: dict) -> None:
        super().__init__(body.get(2, ""))
        self.code: int = body[1]


def run_folder(home: str) -> str:
    """Section 1: where the sockets of a home are."""
    name = hashlib.blake2b(os.path.realpath(home).encode(), digest_size=32).hexdigest()[:8]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return f"{runtime}/wavemill-{name}" if runtime else f"/tmp/wavemill-{os.getuid()}/{name}"


class Peer:
    """A DEALER socket that speaks three-frame messages."""

    def __init__(self, address: str, timeout_s: float = 30) -> None:
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(address)
        self.timeout_s = timeout_s
        self.sequence = 0

    def close(self) -> None:
        self.socket.close()

    def send(self, kind: int, body: dict | bytes, frames: list[bytes] | None = None) -> int:
        """Sends one message; `frames` replaces all three, for tests of bad ones."""
        self.sequence += 1
        packed = body if isinstance(body, bytes) else msgpack.packb(body)
        self.socket.send_multipart(frames or [MAGIC, struct.pack(">BBHI", kind, 0, 0, self.sequence), packed])
        return self.sequence

    def receive(self, timeout_s: float | None = None) -> tuple[int, int, dict] | None:
        """(type, sequence number, body), or None when nothing comes in time."""
        if not self.socket.poll(int(1000 * (self.timeout_s if timeout_s is None else timeout_s))):
            return None
        magic, head, body = self.socket.recv_multipart()
        assert magic == MAGIC, magic
        kind, _, _, sequence = struct.unpack(">BBHI", head)
        return kind, sequence, msgpack.unpackb(body, strict_map_key=False)

    def ask(self, kind: int, body: dict | bytes, want: int, timeout_s: float | None = None) -> dict:
        sequence = self.send(kind, body)
        end = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        while (left := end - time.monotonic()) > 0:
            answer = self.receive(left)
            if answer is None or answer[1] != sequence:
                continue  # of an earlier request, or unasked
            if answer[0] == ERROR:
                raise Refused(answer[2])
            assert answer[0] == want, answer
            return answer[2]
        raise TimeoutError(f"no answer to type {kind}")


class Client(Peer):
    """Section 3."""

    def __init__(self, home: str, hello: bool = True) -> None:
        super().__init__(f"ipc://{run_folder(home)}/client.sock")
        self.welcome = self.ask(HELLO, {1: "foreign", 2: "1"}, WELCOME) if hello else {}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.send(BYE, {})
        time.sleep(0.02)
        self.close()

    def submit(self, kind: str, paths: list[bytes], params: dict | None = None, item_params: list[dict] | None = None,
               sealed: bool = True, **more: int | bool | str) -> int:
        body: dict = {1: kind, 2: msgpack.packb(params or {}), 7: self.items(paths, item_params), 8: sealed}
        body |= {{"priority": 3, "cancel_on_disconnect": 4, "name": 5, "max_attempts": 6}[k]: v for k, v in more.items()}
        return self.ask(SUBMIT, body, ACCEPTED)[1]

    @staticmethod
    def items(paths: list[bytes], item_params: list[dict] | None = None) -> list[dict]:
        items: list[dict] = [{1: p} if p else {} for p in paths]
        for item, extra in zip(items, item_params or []):
            item[3] = msgpack.packb(extra)
        return items

    def add(self, job: int, first: int, paths: list[bytes], sealed: bool = False) -> int:
        return self.ask(ADD, {1: job, 2: first, 3: self.items(paths), 4: sealed}, ACCEPTED)[2]

    def watch(self, job: int, cursor: int = 0, wait_ms: int = 1000, limit: int = 1000) -> dict:
        return self.ask(WATCH, {1: job, 2: cursor, 3: limit, 4: wait_ms, 5: True}, PAGE, wait_ms / 1000 + self.timeout_s)

    def outcomes(self, job: int, cursor: int = 0, timeout_s: float = 60, limit: int = 1000) -> Iterator[dict]:
        """Every outcome once, until the job is over."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            page = self.watch(job, cursor, limit=limit)
            yield from page[2]
            cursor = page[1]
            if page[3][0][2] in (DONE, CANCELLED) and not page[2]:
                return
        raise TimeoutError(f"job {job} is not over")


class Worker(Peer):
    """Section 5."""

    def __init__(self, run: str, name: str, kinds: list[str], pid: int = 0) -> None:
        super().__init__(f"ipc://{run}/worker.sock")
        self.engaged = self.ask(READY, {1: name, 2: pid, 5: kinds}, ENGAGED)

    def take(self, credits: int, timeout_s: float = 30) -> dict:
        """Waits for a GRANT; a worker that waits must be heard of all the same."""
        asked = self.send(TAKE, {1: credits})
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            answer = self.receive(0.1)
            if answer is None:
                self.send(PING, {})
            elif answer[0] == ERROR and answer[1] == asked:
                raise Refused(answer[2])
            elif answer[0] == GRANT:
                return answer[2]
        raise TimeoutError("no GRANT")

    def report(self, entries: list[dict]) -> list[int]:
        return [v[2] for v in self.ask(REPORT, {1: entries}, COMMITS)[1]]

    def beat(self, tokens: list[int]) -> list[int]:
        return [v[2] for v in self.ask(BEAT, {1: [{1: t} for t in tokens]}, VERDICTS)[1]]
