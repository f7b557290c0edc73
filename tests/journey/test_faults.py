"""Killed processes, interrupts, damage, many clients at once: the same results as an undisturbed run, and nothing lost."""
import os
import signal
import subprocess
import threading
import time

import journey
from journey import DATA, Home, write_wav

FILES, SAMPLES, ITEMS = 120, 60000, 1000


def sounds(folder: str, count: int = FILES, samples: int = SAMPLES) -> str:
    """Files of different content; made once per length by cutting one noise at different places."""
    os.makedirs(folder, exist_ok=True)
    source = os.path.join(folder, "..", "noise.wav")
    write_wav(source, samples=samples + 10 * count)
    with open(source, "rb") as f:
        noise = f.read()[44:]
    for i in range(count):
        write_wav(os.path.join(folder, f"{i:04d}.wav"), data=noise[20 * i : 20 * i + 2 * samples])
    return folder


def results(lines: list[dict]) -> dict[str, dict]:
    found = {os.path.basename(x["input"]["path"]): x.get("results") for x in lines}
    assert len(found) == len(lines)
    return found


def undisturbed(h: Home, folder: str) -> dict[str, dict]:
    with Home() as other:
        return results(other.lines("analyze", folder))


def collect(process: subprocess.Popen) -> list[dict]:
    out, _ = process.communicate(timeout=90)
    return [journey.check_line(x) for x in out.splitlines()]


def kill_soon(h: Home, name: str, times: int, pause: float = 0.05) -> int:
    """Kills the newest process of that name again and again; returns how many were hit."""
    hit, end = 0, time.monotonic() + 20
    while hit < times and time.monotonic() < end and (hit == 0 or h.processes("wavemill")):
        time.sleep(pause)
        for pid in h.processes(name):
            try:
                os.kill(int(pid), signal.SIGKILL)
                hit += 1
            except ProcessLookupError:
                pass
    return hit


def kill_them(h: Home, name: str, spare: int) -> None:
    """Kills all processes of a program, but for one."""
    for pid in h.processes(name):
        try:
            if os.readlink(f"/proc/{pid}/exe").endswith("/" + name) and int(pid) != spare:
                os.kill(int(pid), signal.SIGKILL)
        except OSError:
            pass


def killed_child() -> None:
    with Home() as h:
        folder = sounds(h.path("sounds"))
        want = undisturbed(h, folder)
        process = h.start("analyze", "--json", "--threads", "2", folder)
        hit = kill_soon(h, "wavemill-compute", 2)
        got = results(collect(process))
        assert hit >= 1 and process.returncode == 0 and got == want, (hit, process.returncode)
        assert h.lines("store", "fsck")[0]["damaged_records"] == 0


def killed_worker() -> None:
    with Home() as h:
        folder = sounds(h.path("sounds"))
        want = undisturbed(h, folder)
        began = time.monotonic()
        process = h.start("analyze", "--json", folder)
        hit = kill_soon(h, "wavemill-worker", 2, 0.08)
        got = results(collect(process))
        assert hit >= 1 and process.returncode == 0 and got == want, (hit, process.returncode)
        print(f"    {time.monotonic() - began:.1f} s (a lease lasts 10)")


def killed_scheduler() -> None:
    """The command greets the one that comes after, its job goes on, and every file is printed once; with nobody after it,
    the command says so and ends with 3."""
    with Home() as h:
        folder = sounds(h.path("sounds"))
        served = h.serve()
        process = h.start("analyze", "--json", folder)
        assert kill_soon(h, "wavemill-scheduler", 1) == 1
        got = results(collect(process))
        assert process.returncode == 0 and got == undisturbed(h, folder)
        process = h.start("analyze", "--json", "--force", "--timeout", "2", folder)
        process.stdout.readline()
        for name in ("wavemill", "wavemill-worker", "wavemill-scheduler"):
            kill_them(h, name, process.pid)
        errors = process.communicate(timeout=60)[1]
        assert process.returncode == 3 and b"none came after it" in errors, (process.returncode, errors)
        served.wait(10)


def killed_and_started_by_hand() -> None:
    """The socket of a scheduler that was killed is still there; a new `serve` takes its place."""
    with Home() as h:
        served = h.serve()
        sent = h.lines("submit", "noop", "--key", "k")[0]
        served.send_signal(signal.SIGSTOP)  # or it would start another, or its end be the scheduler's orderly one
        for name in ("wavemill-scheduler", "wavemill-worker", "wavemill"):
            kill_them(h, name, 0)
        assert served.wait(10) != 0
        assert b"none came after it" in h.run("jobs", "--timeout", "0.5", code=3).stderr
        waiting = h.start("submit", "noop", "--key", "k", "--json")
        time.sleep(0.2)
        served = h.serve()
        out, errors = waiting.communicate(timeout=30)
        assert waiting.returncode == 0 and journey.check_line(out)["job"] == sent["job"], (out, errors)
        served.terminate()
        assert served.wait(10) == 0
        served.terminate()
        assert served.wait(10) == 0


def a_job_outlives_its_schedulers() -> None:
    """Acknowledged is kept: killed again and again, the scheduler comes back with the job, and each item has one outcome.
    Workers go on with what they hold: tried twice is only what was granted as the scheduler died, and never arrived."""
    from wavemill_client import Client

    with Home() as h:
        os.environ.pop("XDG_RUNTIME_DIR", None)
        served = h.serve("--threads", "4")
        with Client(h.home) as c:
            job = c.submit("noop", [b""] * ITEMS, params={1: 10})
        hit, state, outcomes = 0, {}, []
        end = time.monotonic() + 60
        while state.get(2) != 2 and time.monotonic() < end:
            if hit < 4:
                hit += kill_soon(h, "wavemill-scheduler", 1, 0.3)
            try:
                with Client(h.home) as c:
                    page = c.watch(job, len(outcomes), wait_ms=200)
                    outcomes += page[2]
                    state = page[3][0]
            except TimeoutError:
                pass  # it died under the question
        assert hit >= 2 and state.get(2) == 2, (hit, state)
        assert sorted(o[1] for o in outcomes) == list(range(ITEMS)) and all(o[2] == 2 for o in outcomes), len(outcomes)
        again = sum(o[6] != 1 for o in outcomes)
        print(f"    {hit} kills, {again} of {ITEMS} items tried again")
        assert again <= ITEMS // 4
        served.terminate()
        assert served.wait(10) == 0


def interrupted() -> None:
    with Home() as h:
        folder = sounds(h.path("sounds"), count=60, samples=400000)
        process = h.start("analyze", "--json", folder, start_new_session=True)
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=10)
        assert process.returncode == 130
        assert not h.wait_for_end(20)
        assert h.lines("store", "fsck")[0]["damaged_records"] == 0
        assert results(h.lines("analyze", folder)) == undisturbed(h, folder)


def everything_killed() -> None:
    """Locks and sockets of the dead are in the way of nobody; what was committed is there."""
    with Home() as h:
        folder = sounds(h.path("sounds"))
        process = h.start("analyze", "--json", folder)
        for _ in range(30):
            process.stdout.readline()
        for pid in h.processes():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass  # it died with its parent
        process.communicate(timeout=10)
        lines = h.lines("analyze", folder)
        assert sum(x["computed"]["from_store"] for x in lines) >= 20
        assert results(lines) == undisturbed(h, folder)


def damaged_record() -> None:
    with Home() as h:
        path = h.path("one.wav")
        write_wav(path)
        want = h.lines("analyze", path)[0]["results"]
        assert not h.wait_for_end(4)
        data = os.path.join(h.home, "features", "data.mdb")
        with open(data, "r+b") as f:
            at = f.read().rindex(b"WMR1") + 100
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 4]))
        found = h.run("store", "fsck", code=1)
        assert b"damaged: record of file" in found.stdout, found.stdout
        again = h.lines("analyze", path)[0]
        assert again["results"] == want and not again["computed"]["from_store"]
        assert h.lines("store", "fsck")[0]["damaged_records"] == 0
        assert h.lines("store", "stats")[0]["quarantined"] == 1


def eight_at_once() -> None:
    with Home() as h:
        processes = [h.start("analyze", "--json", DATA) for _ in range(8)]
        answers = [results(collect(p)) for p in processes]
        assert all(p.returncode == 0 for p in processes), [p.returncode for p in processes]
        assert all(a == answers[0] for a in answers) and len(answers[0]) == len(journey.AUDIO)
        with open(os.path.join(h.home, "serve.log"), encoding="utf-8") as f:
            assert f.read().count("started in") == 1
        began = time.monotonic()
        assert not h.wait_for_end(20)
        print(f"    the scheduler left {time.monotonic() - began:.1f} s after its last client")


def without_network() -> None:
    with Home() as h:
        done = subprocess.run(["unshare", "-n", os.path.join(journey.BIN, "wavemill"), "analyze", "--quiet", DATA],
                              capture_output=True, env=h.environment, check=False)
        if b"unshare" in done.stderr and os.geteuid() != 0:
            print("    not tried: only root may make a network namespace here")
            return
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(b"\n") == len(journey.AUDIO) + 1


def first_result_soon() -> None:
    times = []
    for _ in range(5):
        with Home() as h:
            began = time.monotonic()
            process = h.start("analyze", "--json", os.path.join(DATA, "speech_mono_16k.wav"))
            assert process.stdout.readline()
            times.append(1000 * (time.monotonic() - began))
            process.communicate(timeout=10)
    print(f"    nothing running -> first result: {sorted(times)[2]:.0f} ms (median of 5; limit 150)")


def a_hang_and_a_limit() -> None:
    """An item that stands still is stopped, and one that eats memory too; drills are sent through the queue's own door."""
    import msgpack
    from wavemill_client import Client

    for action, options, reason in [(3, ("--stall-ms", "300"), "without progress"), (4, ("--memory-limit", "300"), "of memory")]:
        with Home() as h:
            served = h.serve(*options)
            os.environ.pop("XDG_RUNTIME_DIR", None)
            with Client(h.home) as c:
                job = c.submit("noop", [b""] * 6, item_params=[{1: action if i == 2 else 0} for i in range(6)])
                seen = {o[1]: o for o in c.outcomes(job)}
                assert len(seen) == 6 and all(seen[i][2] == 2 for i in range(6) if i != 2), seen
                assert seen[2][2] == 3 and seen[2][3] == 6 and reason in seen[2][4] and seen[2][6] == 3, seen[2]
                assert msgpack.unpackb(seen[0][5], strict_map_key=False)[7] >= 0
            served.terminate()
            assert served.wait(10) == 0


if __name__ == "__main__":
    import sys

    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "foreign"))
    journey.main([killed_child, killed_worker, killed_scheduler, killed_and_started_by_hand, a_job_outlives_its_schedulers, interrupted, everything_killed, damaged_record, eight_at_once,
                  without_network, first_result_soon, a_hang_and_a_limit])
