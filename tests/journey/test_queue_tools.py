"""Looking after a queue on disk while its scheduler runs: checked, copied, made smaller; and a disk that fills up.

The small disk is a tmpfs in a mount namespace of this process: where the system does not allow that, those cases fail."""
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import journey
from journey import BIN

NEW_USER, NEW_MOUNTS = 0x10000000, 0x20000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
BUSY = 7
MIB = 1 << 20


class Folder:
    def __enter__(self) -> str:
        self.path = tempfile.mkdtemp(prefix="wavemill-queue-")
        return self.path

    def __exit__(self, *_) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


class Scheduler:
    """A scheduler by itself, on a journal; ends with the block."""

    def __init__(self, folder: str, journal: str) -> None:
        self.run, self.log = os.path.join(folder, "run"), os.path.join(folder, "log")
        self.journal = journal
        self.start()

    def start(self) -> None:
        ready, said = os.pipe()
        self.process = subprocess.Popen([os.path.join(BIN, "wavemill-scheduler"), "--run-dir", self.run, "--journal", self.journal,
                                         "--ready-fd", str(said), "--log", self.log], pass_fds=[said])
        os.close(said)
        with os.fdopen(ready, "rb") as f:
            text = f.read()
        assert text == b"R", text

    def client(self):
        from wavemill_client import HELLO, WELCOME, Client, Peer

        c = Client.__new__(Client)
        Peer.__init__(c, f"ipc://{self.run}/client.sock")
        c.welcome = c.ask(HELLO, {1: "foreign"}, WELCOME)
        return c

    def worker(self, name: str = "w"):
        from wavemill_client import Worker

        return Worker(self.run, name, ["churn"])

    def end(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(10)

    def __enter__(self) -> "Scheduler":
        return self

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)


def tool(*arguments: str, code: int = 0) -> dict:
    done = subprocess.run([os.path.join(BIN, "wavemill-scheduler"), *arguments, "--json"], capture_output=True, check=False, timeout=120)
    assert done.returncode == code, (arguments, done.returncode, done.stdout[-500:], done.stderr[-500:])
    return journey.check_line(done.stdout)


def finish(worker, count: int, result: bytes = b"\x80") -> None:
    while count > 0:
        leases = worker.take(min(count, 64))[4]
        assert set(worker.report([{1: lease[2], 4: result} for lease in leases])) == {1}
        count -= len(leases)


def looked_after_while_it_runs() -> None:
    with Folder() as f, Scheduler(f, f"{f}/queue") as s:
        over, rounds = threading.Event(), []

        def load() -> None:
            client, worker = s.client(), s.worker()
            while not over.is_set():
                job = client.submit("churn", [b"/a"] * 50)
                finish(worker, 50)
                rounds.append(job)
            client.close()
            worker.close()

        thread = threading.Thread(target=load)
        thread.start()
        try:
            while len(rounds) < 3:
                time.sleep(0.01)
            for i in range(10):
                found = tool("--fsck", s.journal)
                assert found["clean"] and found["damage"] == [] and found["jobs"] >= 3, found
                copied = tool("--backup", s.journal, f"{f}/copy{i}")
                assert copied["clean"] and copied["jobs"] >= found["jobs"] and copied["to"] == f"{f}/copy{i}", copied
            before = len(rounds)
            refused = tool("--compact", s.journal, code=3)
            assert "a scheduler runs on it" in refused["error"]["message"], refused
        finally:
            over.set()
            thread.join(60)
        assert before > 3 and not thread.is_alive()
        assert s.end() == 0
        whole = tool("--fsck", s.journal)
        assert whole["jobs"] == len(rounds) and whole["items"] == 50 * len(rounds) == whole["outcomes"], whole
        small = tool("--compact", s.journal)
        assert small["bytes_after"] <= small["bytes_before"] and small["records"] == whole["records"], small
        s.start()
        client = s.client()
        assert len(list(client.outcomes(rounds[0]))) == 50
        client.close()
        with Scheduler(f"{f}/copy9", f"{f}/copy9") as restored:  # the copy serves as well
            client = restored.client()
            assert len(list(client.outcomes(rounds[0]))) == 50
            client.close()


def what_is_said_of_damage() -> None:
    with Folder() as f:
        with Scheduler(f, f"{f}/queue") as s:
            client = s.client()
            jobs = [client.submit("churn", [name]) for name in (b"/sound", b"/harmed/by/something", b"/sound too")]
            client.close()
            assert s.end() == 0
        tool("--compact", f"{f}/queue")
        with open(f"{f}/queue/data.mdb", "r+b") as data:
            at = data.read().index(b"/harmed/by")
            data.seek(at)
            data.write(b"/HARMED")
        found = tool("--fsck", f"{f}/queue", code=1)
        assert not found["clean"] and found["damaged_jobs"] == 1 and len(found["damage"]) == 1, found
        assert found["damage"][0] == {"job": jobs[1], "record": "item 0", "reason": "its checksum does not fit"}, found
        plain = subprocess.run([os.path.join(BIN, "wavemill-scheduler"), "--fsck", f"{f}/queue"], capture_output=True, check=False)
        assert plain.returncode == 1 and f"damaged: job {jobs[1]}, item 0: its checksum does not fit" in plain.stdout.decode()
        assert tool("--backup", f"{f}/queue", f"{f}/copy", code=1)["damaged_jobs"] == 1
        assert "stays as it is" in tool("--compact", f"{f}/queue", code=1)["error"]["message"]


def wrong_use() -> None:
    with Folder() as f:
        os.mkdir(f"{f}/empty")
        for arguments, code in [(["--fsck", f"{f}/none"], 5), (["--fsck", f"{f}/empty"], 5), (["--backup", f"{f}/empty", f"{f}/to"], 5),
                                (["--compact", f"{f}/empty"], 5)]:
            assert tool(*arguments, code=code)["error"]["code"] == "not_found"
        assert os.listdir(f"{f}/empty") == [] and os.listdir(f) == ["empty"]
        for arguments in (["--fsck"], ["--backup", f], ["--fsck", f, "more"], ["--fsck", f, "--compact", f], ["--json", "--run-dir", f],
                          ["--fsck", f, "--run-dir", f]):
            done = subprocess.run([os.path.join(BIN, "wavemill-scheduler"), *arguments], capture_output=True, check=False, timeout=20)
            assert done.returncode == 2 and not done.stdout, (arguments, done)


# ---- a small disk ----


def mount(source: str, folder: str, kind: str, flags: int, options: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), folder.encode(), kind.encode(), flags, options.encode()):
        raise AssertionError(f"this system does not let the test mount {kind or folder}: {os.strerror(ctypes.get_errno())}")


def own_mounts() -> None:
    """Once: mounts that nobody else sees, and that go with the process."""
    if getattr(own_mounts, "done", False):
        return
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_MOUNTS | (NEW_USER if uid else 0)):
        raise AssertionError(f"this system does not let the test have mounts of its own: {os.strerror(ctypes.get_errno())}")
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as f:
                f.write(text)
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    own_mounts.done = True  # type: ignore[attr-defined]


class Disk:
    """A file system of 8 MiB."""

    def __init__(self, folder: str) -> None:
        self.folder, self.filler = folder, os.path.join(folder, "filler")
        os.mkdir(folder)
        mount("none", folder, "tmpfs", 0, "size=8m")

    def free(self) -> int:
        s = os.statvfs(self.folder)
        return s.f_bavail * s.f_frsize

    def leave(self, free: int) -> None:
        """Others take what there is, but for so many bytes."""
        with open(self.filler, "ab", buffering=0) as f:
            while (more := self.free() - free) > 0:
                try:
                    f.write(b"x" * min(more, MIB))
                except OSError:
                    break  # it is full

    def clear(self) -> None:
        os.unlink(self.filler)

    def reserve(self) -> int:
        return os.stat(f"{self.folder}/queue/reserve").st_blocks * 512


def refuses(client, what) -> None:
    from wavemill_client import Refused

    try:
        what(client)
    except Refused as e:
        assert e.code == BUSY and "the journal's disk is nearly full" in str(e), e
        return
    raise AssertionError("it was taken")


def a_disk_that_fills() -> None:
    own_mounts()
    with Folder() as f:
        disk = Disk(f"{f}/disk")
        with Scheduler(f, f"{disk.folder}/queue") as s:
            client, worker = s.client(), s.worker()
            assert disk.reserve() == MIB
            job = client.submit("churn", [b"/a"] * 300)
            opened = client.submit("churn", [b"/a"], sealed=False)
            finish(worker, 50)
            disk.leave(700 << 10)
            time.sleep(0.1)
            finish(worker, 1)  # a group: the disk is looked at
            refuses(client, lambda c: c.submit("churn", [b"/a"]))
            refuses(client, lambda c: c.add(opened, 1, [b"/b"]))
            assert disk.reserve() == MIB
            disk.leave(0)
            finish(worker, 200, b"\xc4\xff" + bytes(255))  # more than the nothing that is left
            assert disk.reserve() == 0
            client.add(opened, 1, [], sealed=True)
            refuses(client, lambda c: c.submit("churn", [b"/a"]))
            tool("--fsck", s.journal)

            worker.close()
            assert s.end(signal.SIGKILL) == -signal.SIGKILL  # and it starts on a disk that is full but for what was given up
            disk.leave(64 << 10)
            s.start()
            client.close()
            client, worker = s.client(), s.worker("w again")
            refuses(client, lambda c: c.submit("churn", [b"/a"]))
            finish(worker, 50)
            disk.clear()
            again = client.submit("churn", [b"/a"])  # no restart, and who asks once is not refused
            assert disk.reserve() == MIB
            finish(worker, 1)
            assert len(list(client.outcomes(again, timeout_s=10))) == 1 and len(list(client.outcomes(job, timeout_s=10))) == 300
            client.close()
            worker.close()
            assert s.end() == 0
        assert tool("--fsck", s.journal)["clean"]


def a_full_disk_with_a_reserve() -> None:
    """The scheduler was away when the disk filled up: the reserve makes room for its start."""
    own_mounts()
    with Folder() as f:
        disk = Disk(f"{f}/disk")
        with Scheduler(f, f"{disk.folder}/queue") as s:
            client = s.client()
            job = client.submit("churn", [b"/a"] * 20)
            client.submit("churn", [b"/a"] * 20, cancel_on_disconnect=True)  # its end is written at the start
            assert s.end(signal.SIGKILL) == -signal.SIGKILL
            disk.leave(0)
            assert disk.free() == 0 and disk.reserve() == MIB
            s.start()
            assert disk.reserve() == 0
            client.close()
            client, worker = s.client(), s.worker()
            refuses(client, lambda c: c.submit("churn", [b"/a"]))
            finish(worker, 20)
            assert len(list(client.outcomes(job, timeout_s=10))) == 20
            client.close()
            worker.close()


def a_disk_that_cannot_be_written() -> None:
    own_mounts()
    with Folder() as f:
        disk = Disk(f"{f}/disk")
        with Scheduler(f, f"{disk.folder}/queue") as s:
            client = s.client()
            client.submit("churn", [b"/a"] * 20)
            client.close()
            assert s.end() == 0
        for name in ("lock.mdb", "lock"):
            mount("none", disk.folder, "", MS_REMOUNT | MS_RDONLY)
            assert tool("--fsck", s.journal)["items"] == 20
            assert tool("--backup", s.journal, f"{f}/copy without {name}")["items"] == 20
            tool("--compact", s.journal, code=5)
            mount("none", disk.folder, "", MS_REMOUNT)
            os.unlink(f"{s.journal}/{name}")


if __name__ == "__main__":
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "foreign"))
    journey.main([looked_after_while_it_runs, what_is_said_of_damage, wrong_use, a_disk_that_fills, a_full_disk_with_a_reserve,
                  a_disk_that_cannot_be_written])
