"""What the journeys share: a home of one's own, running commands, looking for what was left behind."""
import glob
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback

BIN = os.environ.get("WAVEMILL_BIN", "build/bin")
DATA = os.environ.get("WAVEMILL_TEST_DATA", "tests/data")
AUDIO = sorted(p for p in glob.glob(os.path.join(DATA, "*.*")) if not p.endswith(".md"))


class Home:
    """A temporary folder with a WAVEMILL_HOME in it; nothing of it may be left running at the end."""

    def __init__(self, programs: str = BIN) -> None:
        self.programs = programs
        self.folder = tempfile.mkdtemp(prefix="wavemill-journey-")
        os.chmod(self.folder, 0o755)
        self.home = os.path.join(self.folder, "home")
        self.environment = {**os.environ, "WAVEMILL_HOME": self.home}
        self.environment.pop("XDG_RUNTIME_DIR", None)

    def __enter__(self) -> "Home":
        return self

    def __exit__(self, kind, *_) -> None:
        left = self.wait_for_end()
        for pid in left:
            os.kill(int(pid), signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
        if kind is None:
            assert not left, f"still running: {left}"

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def run(self, *arguments, code: int | None = 0, **options) -> subprocess.CompletedProcess:
        done = subprocess.run([os.path.join(self.programs, "wavemill"), *arguments], capture_output=True, env=self.environment,
                              check=False, timeout=120, **options)
        if code is not None and done.returncode != code:
            raise AssertionError(f"{arguments[:6]}: exit {done.returncode}, wanted {code}\n"
                                 f"{done.stdout.decode(errors='replace')[-800:]}\n{done.stderr.decode(errors='replace')[-800:]}")
        return done

    def start(self, *arguments, **options) -> subprocess.Popen:
        return subprocess.Popen([os.path.join(self.programs, "wavemill"), *arguments], env=self.environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def serve(self, *options: str, **popen) -> subprocess.Popen:
        """`wavemill serve`, once it is ready."""
        served = self.start("serve", *options, **popen)
        while line := served.stderr.readline():
            if b": ready" in line:
                return served
        raise AssertionError(f"serve ended with {served.wait()}")

    def lines(self, *arguments, code: int | None = 0, **options) -> list[dict]:
        return [check_line(text) for text in self.run(*arguments, "--json", code=code, **options).stdout.splitlines()]

    def processes(self, name: str = "") -> list[str]:
        """Living processes whose environment names this home; by a part of their program's name."""
        mark, found = f"WAVEMILL_HOME={self.home}".encode(), []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f, open(f"/proc/{pid}/stat", encoding="utf-8") as state:
                    text = state.read()
                    if mark in f.read().split(b"\0") and text.rsplit(")", 1)[1].split()[0] != "Z":
                        if name in os.readlink(f"/proc/{pid}/exe").rsplit("/", 1)[1]:
                            found.append(pid)
            except OSError:
                continue
        return found

    def wait_for_end(self, seconds: float = 60) -> list[str]:
        end = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.02)
        return left


def check_line(text: bytes) -> dict:
    """A line of --json: strict JSON, with what every line has."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in {text!r}")

    line = json.loads(text, parse_constant=refuse)
    assert line["schema"] == 1, line
    if "input" in line:
        assert line["input"]["path"] and line["tool_version"], line
        assert ("results" in line) != ("error" in line), line
        if "error" in line:
            assert line["error"]["class"] in ("INPUT", "RESOURCE", "TRANSIENT", "DEVICE", "INTERNAL", "CRASH", "STALE", "TIMEOUT"), line
            assert line["error"]["message"], line
    return line


def write_wav(path: str | bytes, samples: int = 22050, seed: int = 1, rate: int = 22050, channels: int = 1, bits: int = 16,
              claim: int | None = None, data: bytes | None = None) -> None:
    """A WAV of seeded noise (a linear congruential generator), or of `data`; its header may lie."""
    if data is None:
        state, values = seed * 2654435761 % 2**32, []
        for _ in range(samples * channels):
            state = (1664525 * state + 1013904223) % 2**32
            values.append((state >> 17) - 16384)
        data = struct.pack(f"<{len(values)}h", *values)
    size = len(data) if claim is None else claim
    kind = 3 if bits == 32 else 1
    block = channels * bits // 8
    with open(path, "wb") as f:
        f.write(b"RIFF" + struct.pack("<I", (36 + size) % 2**32) + b"WAVEfmt " +
                struct.pack("<IHHIIHH", 16, kind, channels, rate, rate * block, block, bits) + b"data" +
                struct.pack("<I", size % 2**32) + data)


def main(cases: list) -> None:
    passed = failed = 0
    for case in cases:
        if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
            continue
        began = time.monotonic()
        try:
            case()
            passed += 1
            print(f"pass {case.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"FAIL {case.__name__}", flush=True)
            traceback.print_exc()
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0 or passed == 0)
