"""Stands between the peers and the scheduler, on both sockets: writes down what passes, and where it is told to, repeats and
delays whole messages, which so overtake each other. Each peer has a connection of its own to the scheduler."""
from __future__ import annotations

import heapq
import os
import random
import threading
import time
import traceback

import msgpack
import zmq
from oracle import WorkLog
from rig import Scheduler
from wavemill_client import COMMITS, GRANT, READY, SUBMIT, run_folder


class Front:
    """The scheduler as those see it who speak to it through a proxy."""

    def __init__(self, scheduler: Scheduler, run: str) -> None:
        self.scheduler, self.run = scheduler, run

    def __getattr__(self, name: str):
        return getattr(self.scheduler, name)


class Proxy(threading.Thread):
    """Binds the sockets of `home` in front of a scheduler whose run folder is `inner`."""

    def __init__(self, inner: str, home: str, seed: int = 0, copies: int = 1, delay_s: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.inner, self.outer = inner, run_folder(home)
        self.random, self.copies, self.delay_s = random.Random(seed), copies, delay_s
        self.log = WorkLog()
        self.granted_to: dict[int, str] = {}       # token: the worker's name
        self.attempt: dict[int, int] = {}          # token: which attempt it is
        self.messages = self.repeated = self.overtaken = 0
        self.failure: str | None = None
        self.ending = threading.Event()
        self.bound = threading.Event()

    def __enter__(self) -> "Proxy":
        os.makedirs(self.outer, mode=0o700, exist_ok=True)
        self.start()
        assert self.bound.wait(10)
        return self

    def __exit__(self, kind, *_: object) -> None:
        self.ending.set()
        self.join(10)
        if kind is None:
            assert self.failure is None, self.failure

    def run(self) -> None:
        try:
            self.serve()
        except Exception:  # pylint: disable=broad-except
            self.failure = traceback.format_exc()

    def serve(self) -> None:
        self.poller, self.fronts, self.backs = zmq.Poller(), {}, {}
        self.names: dict[bytes, str] = {}          # of workers, by routing id
        self.waiting: list = []                    # (due, number, socket, frames, its place among those that came)
        self.number = self.last_sent = 0
        for name in ("client.sock", "worker.sock"):
            front = zmq.Context.instance().socket(zmq.ROUTER)
            front.linger = 0
            path = os.path.join(self.outer, name)
            if os.path.exists(path):
                os.unlink(path)
            front.bind(f"ipc://{path}")
            self.fronts[front] = name
            self.poller.register(front, zmq.POLLIN)
        self.bound.set()
        while not self.ending.is_set():
            wait = min(0.05, max(0.0, self.waiting[0][0] - time.monotonic())) if self.waiting else 0.05
            for socket, _ in self.poller.poll(1000 * wait):
                self.receive(socket)
            while self.waiting and self.waiting[0][0] <= time.monotonic():
                self.send(*heapq.heappop(self.waiting)[1:])
        for socket in [*self.fronts, *(b for b, _, _ in self.backs.values())]:
            socket.close()

    def receive(self, socket: zmq.Socket) -> None:
        if socket in self.fronts:
            peer, *frames = socket.recv_multipart()
            if (socket, peer) not in self.backs:
                back = zmq.Context.instance().socket(zmq.DEALER)
                back.linger = 0
                back.reconnect_ivl = 10
                back.connect(f"ipc://{self.inner}/{self.fronts[socket]}")
                self.backs[socket, peer] = self.backs[back] = (back, socket, peer)
                self.poller.register(back, zmq.POLLIN)
            self.note(peer, frames)
            self.pass_on(self.backs[socket, peer][0], frames, frames)
        else:
            _, front, peer = self.backs[socket]
            frames = socket.recv_multipart()
            self.note(peer, frames)
            self.pass_on(front, [peer, *frames], frames)

    def note(self, peer: bytes, frames: list[bytes]) -> None:
        """Grants and verdicts; of repeated messages once."""
        self.messages += 1
        kind = frames[1][0]
        if kind not in (READY, GRANT, COMMITS):
            return
        body = msgpack.unpackb(frames[2], strict_map_key=False)
        if kind == READY:
            self.names[peer] = body[1]
        for lease in body[4] if kind == GRANT else []:
            self.log.grant(lease.get(7, body[1]), lease[1], lease[2])
            self.granted_to[lease[2]] = self.names[peer]
            self.attempt[lease[2]] = lease[3]
        for verdict in body[1] if kind == COMMITS else []:
            self.log.verdict(verdict[1], verdict[2])

    def pass_on(self, socket: zmq.Socket, frames: list[bytes], message: list[bytes]) -> None:
        # Of a SUBMIT without a key the scheduler cannot know that it is the same one again.
        keyless = message[1][0] == SUBMIT and 9 not in msgpack.unpackb(message[2], strict_map_key=False)
        copies = 1 if keyless else self.random.randint(1, self.copies)
        self.repeated += copies - 1
        for _ in range(copies):
            self.number += 1
            heapq.heappush(self.waiting, (time.monotonic() + self.random.random() * self.delay_s, self.number, socket, frames))

    def send(self, number: int, socket: zmq.Socket, frames: list[bytes]) -> None:
        self.overtaken += number < self.last_sent
        self.last_sent = max(self.last_sent, number)
        socket.send_multipart(frames)


