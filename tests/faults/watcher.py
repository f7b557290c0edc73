"""A client in a process of its own that can be stopped: watcher.py ADDRESS JOB LIMIT PAUSE_S FLOOD. It asks for the outcomes of
JOB, LIMIT at a time, with a pause between, and prints how many it has read. With FLOOD above 0 it sends so many WATCHes for the
same page at once, and reads nothing."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "foreign"))
from wavemill_client import HELLO, PAGE, WATCH, WELCOME, Peer  # noqa: E402  pylint: disable=wrong-import-position


def main() -> None:
    address, job, limit, pause, flood = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
    peer = Peer(address, 60)
    peer.socket.rcvhwm = 1
    peer.ask(HELLO, {1: "watcher"}, WELCOME)
    for _ in range(flood):
        peer.send(WATCH, {1: job, 3: limit})
    print("ready", flush=True)
    cursor = 0
    while flood == 0:
        page = peer.ask(WATCH, {1: job, 2: cursor, 3: limit, 4: 1000}, PAGE)
        cursor = page[1]
        print(cursor, flush=True)
        time.sleep(pause)
    time.sleep(3600)


if __name__ == "__main__":
    main()
