"""`wavemill-bench queue` with a few dozen items: every row of ours is there with a positive number, rivals that are not
there are named with the reason, and what stays behind is nothing. No figure is judged."""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.environ.get("WAVEMILL_SOURCE") or os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BENCH = os.path.join(os.environ.get("WAVEMILL_BIN") or os.path.join(ROOT, "build", "bin"), "wavemill-bench")
OURS = {
    "F: fdatasync of a 4 KiB append, p50": None,
    "durable submits, 64 a message, 16 messages in flight": "at least 30000",
    "durable submits, one message of 64 in flight": None,
    "cycles, 64 a message": "at least 20000",
    "cycles, one item a message": "at least 8000",
    "cycles, one item a job": "at least 8000",
    "submit to start, idle worker, p50": None,
    "submit to start, idle worker, p99": "",
    "scheduler's processor time, 64 a message": "at most 25",
    "scheduler's processor time, one item a message": "at most 60",
    "scheduler's processor time, one item a job": "at most 60",
    "ready after kill -9, 70 items": "at most 1",
    "resident, 70 items": "at most 64",
    "ready after kill -9, 700 items": "at most 5",
    "resident, 700 items": "at most 512",
}
BEANSTALKD = {"beanstalkd -f 0, 64 puts in flight", "beanstalkd -f 50 (not durable), 64 puts in flight",
              "beanstalkd -f 0: put, reserve, delete", "beanstalkd -f 50 (not durable): the same"}
PYTHON = {"Redis + RQ, enqueue_many of 64", "Redis + RQ, enqueue", "Celery with Redis"}
RATIOS = {"one message of 64 / beanstalkd -f 0", "64 a message / the faster of RQ and Celery",
          "one item a message / the faster of both unbatched", "one item a job / the faster of both unbatched",
          "one item a message / beanstalkd -f 0"}


def run(folder: str, *arguments, status: int = 0, **environment) -> str:
    done = subprocess.run([BENCH, "queue", "--dir", folder, *arguments], capture_output=True, text=True, timeout=150,
                          check=False, cwd=ROOT, env={**os.environ, **environment})
    assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
    assert os.listdir(folder) == [], os.listdir(folder)
    return done.stdout if status == 0 else done.stderr


def rows_of(text: str) -> dict:
    lines = [json.loads(line) for line in text.splitlines()]
    rows = {line["row"]: line for line in lines}
    assert len(rows) == len(lines) and set(rows) == {*OURS, *BEANSTALKD, *PYTHON, *RATIOS}, set(rows)
    return rows


def check_measured(row: dict) -> None:
    assert row["unit"] and 0 < row["least"] <= row["median"] <= row["most"], row


def ours(folder: str) -> None:
    rows = rows_of(run(folder, "--items", "70", "--rounds", "2", "--no-rivals", "--json"))
    for name, bar in OURS.items():
        check_measured(rows[name])
        assert rows[name]["rounds"] == (6 if name.startswith("F:") else 2), rows[name]
        if bar != "":
            assert rows[name].get("bar") == bar and "reached" not in rows[name], rows[name]
    p99, disk = rows["submit to start, idle worker, p99"], rows["F: fdatasync of a 4 KiB append, p50"]
    bar = float(p99["bar"].removeprefix("at most "))
    assert abs(bar - (4e-3 * disk["median"] + 2)) < 1e-3 * bar and p99["reached"] == (p99["median"] <= bar), (p99, disk)
    assert p99["median"] >= rows["submit to start, idle worker, p50"]["median"]
    assert rows["resident, 700 items"]["median"] > 1, "a scheduler of less than a megabyte"
    for name in (*BEANSTALKD, *PYTHON):
        assert rows[name]["not_run"] == "--no-rivals", rows[name]


def rivals_that_are_not_there(folder: str) -> None:
    """A PATH without them, and a Python without packages."""
    with tempfile.TemporaryDirectory() as empty:
        rows = rows_of(run(folder, "--items", "70", "--rounds", "1", "--json", "--python", "none", PATH=empty))
        assert all(rows[name]["not_run"] == "beanstalkd is not installed" for name in BEANSTALKD), rows
        assert all("--python" in rows[name]["not_run"] for name in PYTHON) and all(
            rows[name]["not_run"] for name in RATIOS), rows
        blocked = os.path.join(empty, "rq.py")
        with open(blocked, "w", encoding="utf-8") as stream:
            stream.write("raise ImportError('blocked')\n")
        rows = rows_of(run(folder, "--items", "70", "--rounds", "1", "--json", "--python", sys.executable, PATH=empty,
                           PYTHONPATH=empty))
        said = rows["Redis + RQ, enqueue"]["not_run"]
        assert said.startswith("python3-rq is not installed"), said


def rivals_that_are_there(folder: str) -> None:
    """Where beanstalkd is installed; the Python rivals take too long for a test."""
    rows = rows_of(run(folder, "--items", "70", "--rounds", "1", "--json", "--python", "none"))
    for name in BEANSTALKD | {"one message of 64 / beanstalkd -f 0"}:
        if rows[name].get("not_run") != "beanstalkd is not installed" and "rival" not in rows[name].get("not_run", ""):
            check_measured(rows[name])
    ratio = rows["one message of 64 / beanstalkd -f 0"]
    if "median" in ratio:
        one, other = (rows[name]["median"] for name in ("durable submits, one message of 64 in flight",
                                                       "beanstalkd -f 0, 64 puts in flight"))
        assert abs(ratio["median"] / (one / other) - 1) < 1e-3 and ratio["reached"] == (ratio["median"] >= 2), ratio


def text_and_usage(folder: str) -> None:
    text = run(folder, "--items", "10", "--rounds", "1", "--no-rivals")
    assert "not judged" in text and "not run: --no-rivals" in text and ">= 30000" in text, text
    assert "rounds 1 to" in run(folder, "--rounds", "0x", "--items", "-1", status=2)
    assert "cannot make a folder" in run(folder, "--dir", "/nowhere/at/all", status=2)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_QUEUE_DIR")) as scratch:
        for test in (ours, rivals_that_are_not_there, rivals_that_are_there, text_and_usage):
            test(scratch)
