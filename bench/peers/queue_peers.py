#!/usr/bin/env python3
"""Python rivals of the job queue, for `wavemill-bench queue`: queue_peers.py rq|celery ITEMS, in the folder whose disk counts.

Each starts a Redis of its own that syncs every write (appendfsync always), four worker processes, and runs ITEMS jobs
that do nothing, from the first that is sent to the last whose result is stored. Prints `BATCHED SINGLE`, jobs per second
of a client that sends 64 at a time (0: there is no such thing) and of one that sends each alone, or `- REASON`.
Workers are asked to be quick: RQ's do not fork for each job; Celery's acknowledge late, so that no job is lost."""
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import time

BATCH, WORKERS, PAYLOAD, WAIT_S = 64, 4, "p" * 200, 120


DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL"]  # of util-linux


def nothing(payload: str) -> None:
    """The job."""


class Redis:
    def __init__(self, folder: str):
        import redis

        self.path = os.path.join(folder, "redis.sock")
        self.process = subprocess.Popen(
            DIES_WITH_US + ["redis-server", "--port", "0", "--unixsocket", self.path, "--dir", folder, "--appendonly", "yes",
             "--appendfsync", "always", "--save", "", "--daemonize", "no"], stdout=subprocess.DEVNULL)
        self.client = redis.Redis(unix_socket_path=self.path)
        self.refused = redis.exceptions.ConnectionError
        wait_until(self.answers)

    def answers(self) -> bool:
        try:
            return self.client.ping()
        except self.refused:  # it does not listen yet
            return False


def wait_until(true) -> None:
    ends = time.monotonic() + WAIT_S
    while not true():
        if time.monotonic() > ends:
            raise TimeoutError("it took longer than two minutes")
        time.sleep(0.005)


def end(processes: list) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def rq_rates(server: Redis, items: int, workers: list) -> tuple:
    from rq import Queue, Worker

    url = "unix://" + server.path
    workers += [subprocess.Popen(
        DIES_WITH_US + [sys.executable, "-m", "rq.cli", "worker", "--url", url, "--worker-class", "rq.worker.SimpleWorker", "--quiet",
         "jobs"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.realpath(__file__))}) for _ in range(WORKERS)]
    queue = Queue("jobs", connection=server.client)
    wait_until(lambda: len(Worker.all(connection=server.client)) == WORKERS)

    def single(count: int) -> None:
        for _ in range(count):
            queue.enqueue("queue_peers.nothing", PAYLOAD, result_ttl=3600)

    def batched(count: int) -> None:
        for first in range(0, count, BATCH):
            queue.enqueue_many([Queue.prepare_data("queue_peers.nothing", (PAYLOAD,), result_ttl=3600)
                                for _ in range(min(BATCH, count - first))])

    def rate(send, count: int) -> float:
        done = lambda: server.client.zcard(queue.finished_job_registry.key)  # noqa: E731
        before, began = done(), time.perf_counter()
        send(count)
        wait_until(lambda: done() - before >= count)
        return count / (time.perf_counter() - began)

    rate(single, 2 * WORKERS)  # everything is imported
    return rate(batched, items), rate(single, items)


def celery_rates(server: Redis, items: int, workers: list) -> tuple:
    import celery

    url = "redis+socket://" + server.path
    workers.append(subprocess.Popen(
        DIES_WITH_US + [sys.executable, "-m", "celery", "-A", "queue_peers:app", "worker", "-c", str(WORKERS), "--loglevel", "ERROR",
         "--without-gossip", "--without-mingle", "--without-heartbeat"], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, "QUEUE_PEERS_URL": url,
                                        "PYTHONPATH": os.path.dirname(os.path.realpath(__file__))}))
    app = make_app(celery, url)

    def rate(count: int) -> float:
        began = time.perf_counter()
        results = [app.tasks["queue_peers.nothing"].delay(PAYLOAD) for _ in range(count)]
        for result in results:
            result.get(timeout=WAIT_S)
        return count / (time.perf_counter() - began)

    rate(4 * WORKERS)
    single = rate(items)
    gc.collect()  # results unsubscribe while there is still a server
    return 0.0, single


def make_app(celery, url: str):
    app = celery.Celery("queue_peers", broker=url, backend=url)
    app.conf.update(task_acks_late=True, worker_prefetch_multiplier=16, broker_connection_retry_on_startup=True)
    app.task(name="queue_peers.nothing")(nothing)
    return app


if os.environ.get("QUEUE_PEERS_URL"):  # in Celery's worker
    import celery as _celery

    app = make_app(_celery, os.environ["QUEUE_PEERS_URL"])


def main() -> None:
    rival, items = sys.argv[1], int(sys.argv[2])
    package = {"rq": "python3-rq", "celery": "python3-celery"}[rival]
    try:
        __import__(rival)
        __import__("redis")
    except ImportError as error:
        print(f"- {package} is not installed ({error})")
        return
    if not shutil.which("redis-server"):
        print("- redis-server is not installed")
        return
    with tempfile.TemporaryDirectory(dir=".", prefix=rival + "-") as name:
        folder, server, workers = os.path.realpath(name), None, []
        try:
            server = Redis(folder)
            rates = (rq_rates if rival == "rq" else celery_rates)(server, items, workers)
            print(f"{rates[0]:.3f} {rates[1]:.3f}")
        except Exception as error:  # pylint: disable=broad-except # whatever goes wrong there is a row that is not run
            print(f"- {rival}: {type(error).__name__}: {error}".replace("\n", " "))
        finally:
            end(workers)
            end([server.process] if server else [])


if __name__ == "__main__":
    main()
