"""What happens to messages: repeated, delayed and overtaken; connections that end in the middle; peers of other versions."""
from __future__ import annotations

import struct
import time

import msgpack
import rig
import zmq
from actors import DrillWorker, Submitter, WorkerSession, read_to_the_end
from oracle import JOB_CANCELLED, Ledger, WorkLog, check_end, drill_result
from proxy import Front, Proxy
from rig import Options, Rig, Session
from wavemill_client import (ACCEPTED, ADD, COMMITS, ENGAGED, ERROR, GRANT, HELLO, JOB, JOBS, LIST, MAGIC, PAGE, PING, PONG, READY,
                             REPORT, SERVER, SHOW, STATS, SUBMIT, TAKE, WATCH, WELCOME)

LEASE = ("--lease-ms", "2000", "--beat-ms", "200")


def repeated_and_overtaken(o: Options) -> None:
    """Each message between clients, scheduler and workers comes one to three times, up to 15 ms late, so that messages overtake
    each other: still each item has one result, the right one. Each job is one, too: its SUBMIT has a key."""
    jobs = o.times(60)
    ledger, log = Ledger(), WorkLog()
    with Rig(*LEASE, workers=2, behind=True) as r, Proxy(r.scheduler.run, r.home.home, o.seed, 3, 0.015) as p:
        front = Front(r.scheduler, p.outer)
        actors = [Submitter(front, ledger, f"client{i}", o.seed + i, jobs // 2) for i in range(2)]
        workers = [DrillWorker(front, log, f"drill{i}", o.seed + 10 + i) for i in range(2)]
        end = time.monotonic() + 60 + jobs
        while any(a.count < jobs // 2 for a in actors) and time.monotonic() < end:
            time.sleep(0.01)
        for a in actors:
            a.end()
        read_to_the_end(r.scheduler, ledger)
        for w in workers:
            w.end()
        check_end(r, ledger, log)
        verdicts = [v for of in [*log.verdicts.values(), *p.log.verdicts.values()] for v in of]
        print(f"    {len(ledger.sent)} jobs; {p.messages} messages, {p.repeated} repeated, {p.overtaken} overtaken; "
              f"{verdicts.count(3)} reports answered DUPLICATE, {verdicts.count(2)} STALE")
        assert len(ledger.acknowledged()) == len(ledger.sent) == 2 * (jobs // 2) and p.repeated > p.messages / 2 and p.overtaken > 0


def gone_before_the_answer(o: Options) -> None:
    """A client that sends a job and is gone at once, before the answer: the job is there, whole, or it is not. One that was to
    end with its client is cancelled; another is done. Cut off between its parts, it is cancelled with those that came."""
    choice, ledger, kinds = o.random(), Ledger(), ("stays", "ends with its client", "in parts")
    there = {k: 0 for k in kinds}
    with Rig(*LEASE, "--session-timeout-ms", "400", workers=1) as r:
        for n in range(o.times(90)):
            how = kinds[n % 3]
            sent = ledger.intend(f"{how} {n}", "noop", [b"\0"] * 40)
            c = Session(r.scheduler)
            c.socket.linger = choice.choice([0, 100])
            first = 10 if how == "in parts" else 40
            body = {1: "noop", 2: msgpack.packb({1: 1}), 5: sent.name, 7: [{}] * first, 8: how != "in parts",
                    4: how == "ends with its client"}
            c.send(SUBMIT, body)
            if how == "in parts":
                job = c.receive()[2][1]
                for at in (10, 20, 30):
                    c.send(ADD, {1: job, 2: at, 3: [{}] * 10, 4: at == 30} if at < 10 * choice.randint(1, 4) else {1: job, 2: at})
            time.sleep(choice.choice([0, 0, 0.0005, 0.002]))
            c.close()
        with r.session() as c:
            c.wait_for(lambda: c.stats().get(6) == 1)  # the sessions of the others have ended
            for row in c.list():
                sent = ledger.sent[row[4]]
                how = sent.name.rsplit(" ", 1)[0]
                there[how] += 1
                sent.job, sent.items, sent.sealed = row[1], row[6], True
                assert row[6] == 40 or (how == "in parts" and row[6] % 10 == 0), row
                if how != "stays":
                    sent.cancelled = row[2] == JOB_CANCELLED
                    assert sent.cancelled or row.get(9, 0) == row[6] == 40 or how == "in parts", row
            ledger_of_lost = [s.name for s in ledger.sent.values() if not s.job]
        read_to_the_end(r.scheduler, ledger)
        check_end(r, ledger)
    print(f"    {n + 1} clients gone at once: {there} arrived, {len(ledger_of_lost)} never did")
    assert there["stays"] and there["ends with its client"] and there["in parts"]


def raw(r: Rig, socket: str = "client.sock") -> zmq.Socket:
    s = zmq.Context.instance().socket(zmq.DEALER)
    s.linger = 0
    s.connect(f"ipc://{r.scheduler.run}/{socket}")
    return s


def ask_raw(s: zmq.Socket, kind: int, body: dict, magic: bytes = MAGIC, minor: int = 0) -> tuple[int, dict]:
    s.send_multipart([magic, struct.pack(">BBHI", kind, 0, minor, 77), msgpack.packb(body)])
    while s.poll(10000):
        _, head, answer = s.recv_multipart()
        if struct.unpack(">BBHI", head)[3] == 77:
            return head[0], msgpack.unpackb(answer, strict_map_key=False)
    raise TimeoutError(f"no answer to type {kind}")


def other_versions(_: Options) -> None:
    """Clients and workers of a later minor version are served, what they know more being ignored; those of another major version
    are told so. Neither disturbs anybody else."""
    more = {100: "later", 101: [1, {2: 3}], 102: 1.5, 103: None}
    with Rig(*LEASE, behind=False) as r:
        ledger = Ledger()
        for socket, first in (("client.sock", HELLO), ("worker.sock", READY)):
            for major in (0, 2, 255):
                s = raw(r, socket)
                kind, body = ask_raw(s, first, {1: "other"}, MAGIC[:3] + bytes([major]))
                assert kind == ERROR and body[1] == 1, (kind, body)
                s.close()
        client, worker = raw(r), raw(r, "worker.sock")
        sent = ledger.intend("later", "drill", [b"x", b"y"])

        def later(s: zmq.Socket, kind: int, body: dict, want: int) -> dict:
            got, answer = ask_raw(s, kind, body | more, minor=200)
            assert got == want, (kind, got, answer)
            return answer

        later(client, HELLO, {1: "later", 2: "1.200"}, WELCOME)
        later(worker, READY, {1: "later", 5: ["drill"], 6: "9.9.9"}, ENGAGED)
        answer = later(client, SUBMIT, {1: "drill", 5: "later", 7: [{3: b"x"} | more, {3: b"y"}], 8: True}, ACCEPTED)
        sent.job, sent.items, sent.sealed = answer[1], answer[2], True
        grant = later(worker, TAKE, {1: 5}, GRANT)
        entries = [{1: x[2], 4: drill_result(x[6], x[2])} | more for x in grant[4]]
        assert [v[2] for v in later(worker, REPORT, {1: entries}, COMMITS)[1]] == [1, 1]
        assert len(later(client, WATCH, {1: sent.job}, PAGE)[2]) == 2
        for kind, body, want in ((PING, {}, PONG), (SHOW, {1: sent.job}, JOB), (LIST, {}, JOBS), (STATS, {}, SERVER)):
            later(client, kind, body, want)
        for s in (client, worker):
            kind, body = ask_raw(s, 201, more, minor=200)
            assert kind == ERROR and body[1] == 2, (kind, body)  # a type of later versions
            s.close()
        with r.session() as c, WorkerSession(r.scheduler, "own", ["drill"], []):
            assert c.ask(PING, {}, PONG) == {}
        check_end(r, ledger)


if __name__ == "__main__":
    rig.main([repeated_and_overtaken, gone_before_the_answer, other_versions])
