"""--device: what is there, what is not, and what a scheduler that runs has to say about it."""
import json
import os
import shutil
import signal
import subprocess
import time

import journey
from journey import AUDIO, BIN, Home

FAKES = os.path.realpath(os.path.join(BIN, "..", "tests", "fakes"))
SOUND = next(p for p in AUDIO if p.endswith("speech_mono_16k.wav"))


def bare(h: Home) -> None:
    """Programs with no module in sight: a folder with nothing beside it."""
    h.programs = h.path("bin")
    os.mkdir(h.programs)
    for name in ("wavemill", "wavemill-scheduler", "wavemill-worker", "wavemill-compute"):
        shutil.copy2(os.path.join(BIN, name), h.programs)
    h.environment.pop("WAVEMILL_MODULES", None)


def fakes(h: Home, like: str) -> None:
    h.environment |= {"WAVEMILL_MODULES": os.path.join(FAKES, "good"), "WAVEMILL_FAKE_DEVICE": like}


def says(done: subprocess.CompletedProcess, *texts: str) -> None:
    for text in texts:
        assert text in done.stderr.decode(), (text, done.stderr)


def refused_before_any_work() -> None:
    """Nothing is started, and it does not take long."""
    reasons = {"none": "the driver shows no device", "driver": "no driver", "unsupported": "this build has code for fake"}
    with Home() as h:
        for like, reason in reasons.items():
            fakes(h, like)
            for command in (["analyze"], ["features", "--kind", "mel", "--out", h.path("x.npy")]):
                began = time.monotonic()
                done = h.run(*command, "--device", "cuda", SOUND, code=4)
                says(done, f"wavemill {command[0]}: device cuda is not available: ", reason)
                assert not done.stdout and not h.processes() and time.monotonic() - began < 5
        says(h.run("analyze", "--device", "cuda:7", SOUND, code=4), "device cuda:7 is not available")
        assert not os.path.exists(os.path.join(h.home, "serve.log"))
    with Home() as h:
        bare(h)
        for device in ("cuda", "cuda:0", "emulated"):
            says(h.run("analyze", "--device", device, SOUND, code=4), f"device {device} is not available: there is no lib")
        assert len(h.lines("analyze", SOUND)) == len(h.lines("analyze", "--device", "cpu", SOUND)) == 1


def words() -> None:
    with Home() as h:
        for bad in ("", "toaster", "cuda:x", "cuda:-1"):
            says(h.run("analyze", "--device", bad, SOUND, code=2), "there are auto, cpu, cuda, cuda:N and emulated")
        says(h.run("analyze", "--gpu-mem-limit", "much", SOUND, code=2), "--gpu-mem-limit")
        worker = os.path.join(h.programs, "wavemill-worker")
        for arguments, code in ((["--device", "toaster"], 2), (["--gpu-mem-limit", "1X"], 2), (["--device", "cuda:99"], 4)):
            fakes(h, "none")
            assert subprocess.run([worker, *arguments], env=h.environment, capture_output=True, check=False).returncode == code


def auto_without_a_gpu() -> None:
    with Home() as h:
        fakes(h, "none")
        h.environment["WAVEMILL_LOG"] = "info"
        for options in ([], ["--device", "auto"]):
            assert h.lines("analyze", *options, "--force", SOUND)[0]["results"]
            h.wait_for_end()
        with open(os.path.join(h.home, "serve.log"), encoding="utf-8") as f:
            assert f.read().count("device auto means cpu here: the driver shows no device") == 2


def the_workers_that_run_decide() -> None:
    with Home() as h:
        served = h.serve("--device", "emulated", "--threads", "2", "--gpu-mem-limit", "1G")
        assert h.lines("analyze", "--device", "emulated", SOUND)[0]["results"]
        assert h.lines("analyze", SOUND)[0]["results"]
        assert "1 workers (emulated)" in doctor(h)["scheduler"]["value"]
        jobs, began = h.run("jobs", "--json").stdout, time.monotonic()
        for device in ("cpu", "cuda"):
            done = h.run("analyze", "--device", device, SOUND, code=4)
            says(done, f"device {device}: the scheduler that runs has workers on emulated")
        assert time.monotonic() - began < 10
        assert jobs.count(b"\n") == 2 and h.run("jobs", "--json").stdout == jobs
        served.send_signal(signal.SIGINT)
        assert served.wait(10) == 0

        served = h.serve("--no-workers")
        says(h.run("analyze", "--device", "cpu", "--timeout", "0.5", SOUND, code=4), "has no worker")
        served.send_signal(signal.SIGINT)
        assert served.wait(10) == 0


def one_device_after_the_other() -> None:
    """A scheduler that waits for its last second is no obstacle to a command for another device."""
    with Home() as h:
        for device in ("cpu", "emulated", "cpu"):
            assert h.lines("analyze", "--device", device, "--force", SOUND)[0]["results"]


def serve_without_its_device() -> None:
    with Home() as h:
        fakes(h, "none")
        done = h.run("serve", "--device", "cuda", code=4)
        says(done, "device cuda is not available: the driver shows no device")


def doctor(h: Home) -> dict:
    return json.loads(h.run("doctor", "--json").stdout)["findings"]


def what_doctor_says() -> None:
    with Home() as h:
        bare(h)
        found = doctor(h)
        assert "there is no libwavemill_cuda.so" in found["cuda module"]["value"]
        assert "tools/bootstrap --cuda" in found["cuda module"]["mend"]
        for fake, text in (("version", "version 0.0.1"), ("abi", "ABI"), ("library", "libfake_library.so")):
            shutil.copy(os.path.join(FAKES, fake, "libwavemill_emulated.so"), os.path.join(h.programs, "libwavemill_cuda.so"))
            found = doctor(h)
            assert text in found["cuda module"]["value"] and found["cuda module"]["mend"], found
            assert not any(name.startswith("device cuda") for name in found)
    with Home() as h:
        for like, name, value, mend in (
            ("", "device cuda:0", "Fake, 16.0 GiB, compute capability 9.0, supported", None),
            ("unsupported", "device cuda:0", "not supported", "WAVEMILL_CUDA_TARGETS=all"),
            ("none", "device cuda", "shows no device", "lspci"),
            ("driver", "device cuda", "no driver", "driver"),
        ):
            fakes(h, like)
            found = doctor(h)
            assert "code for fake" in found["cuda module"]["value"] and found["cuda module"]["mend"] is None
            assert value in found[name]["value"] and (mend in found[name]["mend"] if mend else not found[name]["mend"]), found
        fakes(h, "driver")
        h.environment["LD_LIBRARY_PATH"] = os.path.join(FAKES, "driver")
        found = doctor(h)
        assert "CUDA 11.4" in found["nvidia driver"]["value"] and "newer driver" in found["device cuda"]["mend"], found


if __name__ == "__main__":
    journey.main([refused_before_any_work, words, auto_without_a_gpu, the_workers_that_run_decide, one_device_after_the_other,
                  serve_without_its_device, what_doctor_says])
