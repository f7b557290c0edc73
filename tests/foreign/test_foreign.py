"""The queue as a stranger sees it: wavemill_client.py against the real programs."""
import glob
import os
import subprocess
import sys
import tempfile
import time
import traceback

import msgpack
import numpy as np
import soundfile
import zmq
from wavemill_client import (ACCEPTED, ADD, BYE, CANCEL, HELLO, JOB, JOBS, LIST, LEAVE, MAGIC, PING, PONG, RETURN, SERVER, SHOW,
                             STATS, SUBMIT, WATCH, Client, Peer, Refused, Worker, run_folder)

BIN = os.environ["WAVEMILL_BIN"]
DATA = os.environ["WAVEMILL_TEST_DATA"]
FILES = sorted(p for p in glob.glob(os.path.join(DATA, "*.*")) if not p.endswith(".md"))


class Service:
    """`wavemill serve`, or a bare scheduler, in a home of its own."""

    def __init__(self, *options: str, bare: bool = False) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="wavemill-foreign-")
        self.home = self.folder.name
        os.environ["WAVEMILL_HOME"] = self.home
        self.run = os.path.join(self.home, "run") if bare else run_folder(self.home)
        command = [os.path.join(BIN, "wavemill-scheduler"), "--run-dir", self.run] if bare else [os.path.join(BIN, "wavemill"), "serve"]
        self.process = subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while not os.path.exists(os.path.join(self.run, "client.sock")) and time.monotonic() < end:
            time.sleep(0.005)

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        assert self.process.wait(10) == 0
        self.folder.cleanup()


def refused(code: int, call, *arguments, **options) -> None:
    try:
        call(*arguments, **options)
    except Refused as e:
        assert e.code == code, f"error {e.code} ({e}), wanted {code}"
        return
    raise AssertionError(f"not refused, wanted error {code}")


def analyze_real_audio() -> None:
    with Service() as s, Client(s.home) as c:
        job = c.submit("analyze", [f.encode() for f in FILES])
        seen = {o[1]: o for o in c.outcomes(job)}
        assert sorted(seen) == list(range(len(FILES)))
        for index, outcome in seen.items():
            assert outcome[2] == 2 and outcome[7] == FILES[index].encode(), outcome
            r = msgpack.unpackb(outcome[5], strict_map_key=False)
            try:
                samples, rate = soundfile.read(FILES[index], dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:
                continue
            mono = samples.mean(axis=1)
            assert (r[2], r[3]) == (rate, samples.shape[1])
            assert abs(r[4] - len(mono)) == 0 and abs(r[20] - len(mono) / rate) < 1e-9
            if not FILES[index].endswith((".mp3", ".ogg")):  # lossy decoders differ in the last bits
                assert abs(r[21] / np.sqrt(np.mean(mono.astype(np.float64) ** 2)) - 1) < 1e-6
                assert abs(r[22] / np.abs(mono).max() - 1) < 1e-6
        again = msgpack.unpackb(next(c.outcomes(c.submit("analyze", [FILES[0].encode()])))[5], strict_map_key=False)
        assert again[6] is True  # from the store


def features_as_numpy() -> None:
    with Service() as s, Client(s.home) as c:
        out = os.path.join(s.home, "x.npy").encode()
        path = os.path.join(DATA, "speech_mono_8k.wav").encode()
        for feature, bins, dtype in [("stft", 257, np.complex64), ("mel", 40, np.float32), ("rms", 1, np.float32)]:
            job = c.submit("features", [path], {1: 512, 2: 128, 7: 40, 22: feature}, [{1: out}])
            (outcome,) = c.outcomes(job)
            r = msgpack.unpackb(outcome[5], strict_map_key=False)
            array = np.load(out.decode())
            assert array.shape == (bins, r[22]) == (r[21], 1 + 48000 // 128) and array.dtype == dtype


def a_dropped_connection_reads_on() -> None:
    with Service() as s:
        first = Client(s.home)
        job = first.submit("noop", [b""] * 60, {1: 5})
        page = first.watch(job, 0, 5000, limit=7)
        got = [o[1] for o in page[2]]
        first.close()  # without a word
        with Client(s.home) as second:
            got += [o[1] for o in second.outcomes(job, page[1], limit=7)]
        assert sorted(got) == list(range(60)) and len(got) == 60


def items_are_added() -> None:
    with Service() as s, Client(s.home) as c:
        job = c.submit("noop", [b""] * 2, sealed=False)
        assert c.add(job, 2, [b""] * 3) == 5
        assert c.add(job, 2, [b""] * 3) == 5  # again: accepted, nothing changes
        refused(6, c.add, job, 9, [b""])      # a gap
        assert c.add(job, 5, [], sealed=True) == 5
        refused(6, c.add, job, 5, [b""])      # sealed
        assert len(list(c.outcomes(job))) == 5
        refused(5, c.add, 999, 0, [b""])


def cancelled_while_running() -> None:
    with Service() as s, Client(s.home) as c:
        job = c.submit("noop", [b""] * 50, {1: 300})
        c.watch(job, 0, 3000, limit=1)
        began = time.monotonic()
        state = c.ask(CANCEL, {1: job}, JOB)
        assert state[2] == 3 and state.get(9, 0) + state.get(11, 0) == 50, state
        quick = c.submit("noop", [b""])
        assert len(list(c.outcomes(quick))) == 1 and time.monotonic() - began < 3
        done = state.get(9, 0)
        assert len(list(c.outcomes(job))) == done
        assert c.ask(CANCEL, {1: job}, JOB)[2] == 3  # again: nothing changes


def crashes_cost_their_item_only() -> None:
    with Service() as s, Client(s.home) as c:
        actions = [0] * 20
        actions[3], actions[11], actions[17] = 2, 1, 5  # crash, fail, try to open a file
        job = c.submit("noop", [b""] * 20, item_params=[{1: a} for a in actions])
        seen = {o[1]: o for o in c.outcomes(job)}
        assert len(seen) == 20
        assert seen[3][2] == 3 and seen[3][3] == 6 and seen[3][6] == 3, seen[3]  # dead, CRASH, three attempts
        assert seen[11][2] == 3 and seen[11][3] == 1 and seen[11][6] == 1, seen[11]
        assert all(seen[i][2] == 2 for i in range(20) if i not in (3, 11)), seen  # the sandbox refused the file
        state = c.ask(SHOW, {1: job}, JOB)
        assert (state[2], state[9], state[10]) == (2, 18, 2)


def priorities() -> None:
    with Service("--no-workers") as s, Client(s.home) as c:
        low = c.submit("noop", [b""], priority=-5)
        middle = c.submit("noop", [b""])
        high = c.submit("noop", [b""], priority=5)
        w = Worker(s.run, "foreign", ["noop"])
        order = []
        for _ in range(3):
            grant = w.take(1)
            order.append(grant[1])
            assert w.report([{1: grant[4][0][2]}]) == [1]
        assert order == [high, middle, low]
        jobs = c.ask(LIST, {}, JOBS)
        assert [j[1] for j in jobs[1]] == [low, middle, high] and all(j[2] == 2 for j in jobs[1])
        server = c.ask(STATS, {}, SERVER)
        assert server[1] == c.welcome[1] and server[9][0][2] == "foreign"
        w.close()


def a_worker_of_ours() -> None:
    with Service("--lease-ms", "600", "--beat-ms", "100", bare=True) as s:
        c = Client.__new__(Client)
        Peer.__init__(c, f"ipc://{s.run}/client.sock")
        c.welcome = c.ask(HELLO, {1: "foreign"}, 2)
        job = c.submit("resize", [b"/a", b"/b", b"/c"])
        one = Worker(s.run, "one", ["resize"])
        grant = one.take(2)
        tokens = [lease[2] for lease in grant[4]]
        assert [lease[4] for lease in grant[4]] == [b"/a", b"/b"] and all(lease[3] == 1 for lease in grant[4])
        assert one.report([{1: tokens[0], 4: b"\x80"}]) == [1]
        assert one.report([{1: tokens[0], 4: b"\x81"}]) == [3]  # DUPLICATE
        for _ in range(8):
            time.sleep(0.1)
            assert one.beat([tokens[1]]) == [1]  # a renewed lease outlives lease_ms
        one.send(RETURN, {1: [tokens[1]]})
        grant = one.take(1)
        kept = grant[4][0]
        assert kept[1] == 1 and kept[3] == 1 and kept[2] > tokens[1]  # the attempt was not counted
        two = Worker(s.run, "two", ["resize"])
        third = two.take(5)
        assert [lease[1] for lease in third[4]] == [2]
        assert two.report([{1: third[4][0][2], 2: 3, 3: "try again"}]) == [1]  # TRANSIENT
        again = two.take(5)
        assert again[4][0][3] == 2 and two.report([{1: again[4][0][2]}]) == [1]
        late = two.take(5, timeout_s=5)  # worker one has been silent: its item comes here
        assert late[4][0][1] == 1 and late[4][0][3] == 2
        assert two.report([{1: late[4][0][2], 4: b"\x80"}]) == [1]
        one.sequence += 100
        refused(8, one.report, [{1: kept[2]}])  # it has left, as the scheduler sees it
        late_one = Worker(s.run, "one again", ["resize"])
        assert late_one.report([{1: kept[2], 4: b"\x82"}]) == [2]  # STALE
        results = {o[1]: o for o in c.outcomes(job)}
        assert results[0][5] == b"\x80" and results[1][5] == b"\x80" and results[1][6] == 2
        for peer in (one, two, late_one, c):
            peer.close()


def bad_messages() -> None:
    with Service("--no-workers") as s:
        with Client(s.home, hello=False) as stranger:
            refused(8, stranger.ask, LIST, {}, JOBS)
        with Client(s.home) as c:
            assert c.ask(PING, {}, PONG) == {}
            refused(2, c.ask, 200, {}, 0)                    # unknown type
            refused(2, c.ask, 40, {1: "w", 5: []}, 0)        # a worker's message
            refused(3, c.ask, SUBMIT, b"\x81\x01", 0)        # cut short
            refused(3, c.ask, SUBMIT, b"\xdd\xff\xff\xff\xff", 0)
            refused(3, c.ask, SUBMIT, {}, 0)                 # kind is missing
            refused(3, c.ask, SUBMIT, {1: 5}, 0)
            refused(3, c.ask, SUBMIT, {1: "noop", 3: 5000}, 0)
            refused(5, c.ask, SHOW, {1: 12345}, JOB)
            refused(5, c.ask, WATCH, {1: 12345}, 0)
            assert c.ask(SUBMIT, {1: "noop", 8: True, 99: {1: [1, 2, {3: None}]}}, ACCEPTED)[2] == 0  # unknown keys
            c.sequence += 1
            c.send(0, {}, [b"WML\x02", b"\x01\0\0\0\0\0\0\x01", b"\x80"])
            answer = c.receive()
            assert answer and answer[0] == 5 and answer[2][1] == 1, answer  # version
            c.send(0, {}, [MAGIC, b"short", b"\x80"])
            answer = c.receive()
            assert answer and answer[0] == 5 and answer[2][1] == 3, answer
            assert c.ask(PING, {}, PONG) == {}


def a_session_that_ends_cancels() -> None:
    with Service("--no-workers") as s:
        c = Client(s.home)
        job = c.submit("noop", [b""] * 3, cancel_on_disconnect=True)
        stays = c.submit("noop", [b""] * 3)
        opened = c.submit("noop", [b""], sealed=False)
        c.send(BYE, {})
        time.sleep(0.2)
        c.close()
        with Client(s.home) as other:
            assert other.ask(SHOW, {1: job}, JOB)[2] == 3
            assert other.ask(SHOW, {1: opened}, JOB)[2] == 3
            assert other.ask(SHOW, {1: stays}, JOB)[2] == 1


CASES = [analyze_real_audio, features_as_numpy, a_dropped_connection_reads_on, items_are_added, cancelled_while_running,
         crashes_cost_their_item_only, priorities, a_worker_of_ours, bad_messages, a_session_that_ends_cancels]


def main() -> None:
    os.environ.pop("XDG_RUNTIME_DIR", None)
    failed = 0
    for case in CASES:
        if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
            continue
        began = time.monotonic()
        try:
            case()
            print(f"pass {case.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"FAIL {case.__name__}", flush=True)
            traceback.print_exc()
    zmq.Context.instance().destroy(linger=0)
    print(f"{len(CASES) - failed} passed, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
