"""Workers of other homes, over tcp on this machine: objects instead of paths, the same results, and what happens when they are
killed, when the scheduler is, and when all is stopped."""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import journey
import msgpack
from journey import AUDIO, Home, write_wav

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "foreign"))
from wavemill_client import CANCEL, JOB, SHOW, Client  # noqa: E402  pylint: disable=wrong-import-position


def free_address() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{s.getsockname()[1]}"


@contextmanager
def remote(h: Home, address: str, *options: str) -> Iterator[subprocess.Popen]:
    """`wavemill worker` with a home of its own; its processes end with it."""
    with tempfile.TemporaryDirectory(prefix="wavemill-remote-") as folder:
        worker = subprocess.Popen([os.path.join(h.programs, "wavemill"), "worker", "--connect", address, *options],
                                  env={**h.environment, "WAVEMILL_HOME": folder}, stderr=subprocess.PIPE)
        try:
            yield worker
        finally:
            if worker.poll() is None:
                worker.terminate()
            assert worker.wait(60) in (0, -signal.SIGKILL)


@contextmanager
def service(h: Home, *options: str) -> Iterator[tuple[subprocess.Popen, str]]:
    address = free_address()
    served = h.serve("--listen", address, *options)
    try:
        yield served, address
    finally:
        served.terminate()
        assert served.wait(60) == 0


def wait_for(what: Callable[[], object], seconds: float = 60) -> object:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come")


def workers(client: Client) -> list[dict]:
    return client.ask(20, {}, 21).get(9, [])


def holders(client: Client) -> list[dict]:
    return [w for w in workers(client) if w.get(6)]


def submit_noop(client: Client, items: int, sleep_ms: int, checkpoint_ms: int = 0) -> int:
    return client.submit("noop", [b""] * items, params={1: sleep_ms, 2: checkpoint_ms})


def without_time(line: dict) -> dict:
    return {k: v for k, v in line.items() if k != "computed"}


def the_same_results_from_another_home() -> None:
    with Home() as alone:
        want = {x["input"]["path"]: without_time(x) for x in alone.lines("analyze", *AUDIO, code=None)}
    with Home() as h, service(h, "--no-workers") as (_, address), remote(h, address):
        got = {x["input"]["path"]: without_time(x) for x in h.lines("analyze", "--upload", *AUDIO, code=None)}
        again = h.lines("analyze", "--upload", *AUDIO, code=None)
        assert all(x["computed"]["from_store"] for x in again if "results" in x)
        assert not os.path.exists(os.path.join(h.home, "objects", "fetched"))
        assert len(os.listdir(os.path.join(h.home, "objects", "queue"))) > 1
    assert got.keys() == want.keys() and len(got) == len(AUDIO)
    for path, line in want.items():
        assert got[path] == line, (path, got[path], line)


def paths_mean_nothing_there() -> None:
    with Home() as h, service(h, "--no-workers") as (_, address), remote(h, address):
        line, = h.lines("analyze", h.path("only here.wav"), code=1)
        assert line["error"]["class"] == "INPUT" and "--upload" in line["error"]["message"], line
        write_wav(h.path("good.wav"))
        with open(h.path("bad.wav"), "wb") as f:
            f.write(b"no sound at all" * 100)
        lines = {os.path.basename(x["input"]["path"]): x for x in
                 h.lines("analyze", "--upload", h.path("good.wav"), h.path("bad.wav"), h.path("missing.wav"), code=1)}
        assert "results" in lines["good.wav"], lines
        assert lines["bad.wav"]["error"]["class"] == lines["missing.wav"]["error"]["class"] == "INPUT", lines


def addresses_are_checked() -> None:
    with Home() as h:
        done = subprocess.run([os.path.join(h.programs, "wavemill-scheduler"), "--run-dir", h.path("run"), "--listen",
                               "tcp://0.0.0.0:0"], capture_output=True, check=False, timeout=20)
        assert done.returncode == 2 and b"--insecure-tcp" in done.stderr and b"authentication" in done.stderr, done
        done = h.run("worker", "--connect", "ipc:///tmp/x", code=2)
        assert b"tcp://" in done.stderr


def killed_while_it_computes(client: Client, is_wanted: Callable[[int], bool]) -> float:
    """Two workers are there, so that another is at hand at once. Kills the wanted one while it has an item; the other must do it.
    Seconds from the kill to the next grant."""
    wait_for(lambda: len(workers(client)) == 2)
    for _ in range(20):
        job = submit_noop(client, 1, 3000)
        pid = wait_for(lambda: holders(client))[0][4]
        if is_wanted(pid):
            break
        client.ask(CANCEL, {1: job}, JOB)  # the next one goes to whoever has waited longer
        wait_for(lambda: not holders(client))
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: [w for w in holders(client) if w[4] != pid])
    took = time.monotonic() - began
    outcome, = client.outcomes(job)
    assert is_wanted(pid) and outcome[2] == 2 and outcome[6] == 2, outcome
    return took


def a_killed_remote_worker_loses_its_item_soon() -> None:
    with Home() as h, service(h, "--no-workers") as (_, address), remote(h, address), remote(h, address), Client(h.home) as client:
        took = killed_while_it_computes(client, lambda pid: True)
        print(f"requeued and granted to another worker {1000 * took:.0f} ms after the kill")


def a_killed_local_worker_loses_its_item_at_once() -> None:
    with Home() as h, service(h) as (_, address), remote(h, address) as far, Client(h.home) as client:
        took = killed_while_it_computes(client, lambda pid: pid != far.pid)
        print(f"requeued and granted {1000 * took:.0f} ms after the kill of a local worker")


def a_restarted_scheduler_finds_its_workers_at_work() -> None:
    with Home() as h, service(h, "--no-workers") as (_, address), remote(h, address):
        client = Client(h.home)
        job = submit_noop(client, 1, 4000)
        wait_for(lambda: holders(client))
        for pid in h.processes("wavemill-scheduler"):
            os.kill(int(pid), signal.SIGKILL)
        client.close()
        time.sleep(1)
        with Client(h.home) as other:
            outcome, = other.outcomes(job)
            assert outcome[2] == 2 and outcome[6] == 1, outcome  # one attempt: nothing was computed twice


def a_stop_counts_no_attempt() -> None:
    items = 40
    with Home() as h:
        with service(h, "--threads", "2"):
            client = Client(h.home)
            job = submit_noop(client, items, 150)
            wait_for(lambda: client.ask(SHOW, {1: job}, JOB).get(9, 0) >= 4)
        client.close()
        with service(h, "--threads", "8"), Client(h.home) as client:
            outcomes = list(client.outcomes(job))
            assert sorted(o[1] for o in outcomes) == list(range(items)) and all(o[2] == 2 for o in outcomes)
            assert all(o[6] == 1 for o in outcomes), outcomes


def a_killed_worker_s_item_goes_on_where_it_was() -> None:
    """Needs a scheduler that answers CHECKPOINT."""
    with Home() as h, service(h, "--no-workers") as (_, address), remote(h, address) as first:
        with Client(h.home) as client:
            job = submit_noop(client, 1, 6000, checkpoint_ms=200)
            wait_for(lambda: client.ask(SHOW, {1: job}, JOB).get(16, 0) >= 0.5)
            first.kill()
            with remote(h, address):
                outcome, = client.outcomes(job)
            result = msgpack.unpackb(outcome[5], strict_map_key=False)
            print(f"gone on from {result.get(9)}")
            # An attempt that saved more than any before counts as the first.
            assert outcome[2] == 2 and outcome[6] == 1 and 0.2 < result[9] < 1, (outcome, result)


if __name__ == "__main__":
    journey.main([the_same_results_from_another_home, paths_mean_nothing_there, addresses_are_checked,
                  a_killed_remote_worker_loses_its_item_soon, a_killed_local_worker_loses_its_item_at_once,
                  a_restarted_scheduler_finds_its_workers_at_work, a_stop_counts_no_attempt,
                  a_killed_worker_s_item_goes_on_where_it_was])
