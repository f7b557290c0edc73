"""bridge.py FRONT BACK: binds a ROUTER at FRONT and carries each peer's messages, over a connection of its own, to BACK. Two of
them make a long wire out of a short one: from a socket in the file system over TCP to another one."""
import sys

import zmq


def socket_of(kind: int) -> zmq.Socket:
    """With the options that the programs set."""
    s = zmq.Context.instance().socket(kind)
    s.linger = 0
    s.setsockopt(zmq.HEARTBEAT_IVL, 1000)
    s.setsockopt(zmq.HEARTBEAT_TIMEOUT, 10000)
    s.setsockopt(zmq.RECONNECT_IVL, 10)
    s.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    return s


def main() -> None:
    front, poller = socket_of(zmq.ROUTER), zmq.Poller()
    front.bind(sys.argv[1])
    poller.register(front, zmq.POLLIN)
    backs: dict[bytes, zmq.Socket] = {}
    peers: dict[zmq.Socket, bytes] = {}
    print("ready", flush=True)
    while True:
        for s, _ in poller.poll():
            if s is not front:
                front.send_multipart([peers[s], *s.recv_multipart()])
                continue
            peer, *frames = s.recv_multipart()
            if peer not in backs:
                backs[peer] = back = socket_of(zmq.DEALER)
                back.connect(sys.argv[2])
                peers[back] = peer
                poller.register(back, zmq.POLLIN)
            backs[peer].send_multipart(frames)


if __name__ == "__main__":
    main()
