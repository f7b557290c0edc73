"""`wavemill train` on a device, the emulator: the bytes of one device whatever is killed or lost, another device, short memory, several at once, cancelling.

The emulator takes half a second for a step of the smallest preset, so states, five seconds apart, are a few steps apart.
"""
import json
import os
import re
import signal
import struct
import time

import journey
from journey import DATA, Home
from test_remote import Client, service, workers
from test_remote_separate import far
from test_sweep import blocked
from test_train import files, make_dataset, model, wait_for

SETTINGS = ("--seed", "7", "--batch", "4", "--no-changes", "--previews", "1")
LONG = (*SETTINGS, "--steps", "10", "--validate", "2")
SHORT = (*SETTINGS, "--steps", "3", "--validate", "3")
EMULATED = ("--device", "emulated")


def log_of(h: Home) -> str:
    with open(os.path.join(h.home, "serve.log"), encoding="utf-8") as f:
        return f.read()


def states_kept(h: Home, name: str) -> int:
    """How many: the header of the newest says (slots.h)."""
    try:
        with open(os.path.join(h.home, "models", name, "states"), "rb") as f:
            heads = f.read(128)
    except OSError:
        return 0
    return max(struct.unpack_from("<Q", heads, at + 8)[0] for at in (0, 64)) if len(heads) == 128 else 0


def training(h: Home, name: str) -> dict:
    with open(os.path.join(h.home, "models", name, "training.json"), encoding="utf-8") as f:
        return json.load(f)


def weights(raw: bytes) -> list[float]:
    header = 8 + struct.unpack_from("<Q", raw)[0]
    return list(struct.unpack(f"<{(len(raw) - header) // 4}f", raw[header:]))


def loss_of_steps(h: Home, name: str) -> float:
    with open(os.path.join(h.home, "models", name, "metrics.jsonl"), encoding="utf-8") as f:
        return json.loads(f.readline())["train_loss"]


def kill_all(h: Home, running) -> None:
    for pid in [str(running.pid), *h.processes()]:
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    running.communicate()
    assert not h.wait_for_end()


def trained_on_it() -> None:
    """What it says of where and how; losses as near to the CPU's as sums in another order are, and as rounded factors are."""
    with Home() as h:
        make_dataset(h)
        h.run("train", "tones", "--name", "cpu", *SHORT, "--device", "cpu")
        assert training(h, "cpu")["computed"]["backend"] == "cpu"
        h.wait_for_end()
        made = {}
        for precision, most in (("fp32", 1e-6), ("tf32", 1e-3), ("bf16", 1e-2)):
            line = h.lines("train", "tones", "--name", precision, *SHORT, *EMULATED, "--precision", precision)[-1]
            assert line["computed"]["backend"] == "emulated" and line["computed"]["on_device"] == f"vae/{precision}", line
            computed = training(h, precision)["computed"]
            assert computed["backend"] == "emulated" and computed["precision"] == precision and computed["moves"] == 0
            assert computed["device"] and computed["isa"] == line["computed"]["isa"], computed
            made[precision] = weights(model(h, precision))
            error = abs(loss_of_steps(h, precision) / loss_of_steps(h, "cpu") - 1)
            print(f"    {precision}: {error:.1e} beside the cpu's loss")
            assert error < most, (precision, error)
            assert "previews/0.prior.wav" in files(h, precision)
        assert made["fp32"] != made["tf32"] != made["bf16"] != made["fp32"], "nothing was rounded"
        h.wait_for_end()
        # There is no other precision on the CPU, and that is said.
        done = h.run("train", "tones", "--name", "none", *SHORT, "--device", "cpu", "--precision", "bf16")
        assert b"fp32 is what there is" in done.stderr, done.stderr
        assert weights(model(h, "none")) == weights(model(h, "cpu"))
        assert b"--precision" in h.run("train", "tones", "--precision", "fp8", code=2).stderr


def killed_and_lost() -> None:
    """Everything is killed after a state and gone on with; or the device is lost in mid-training and another child goes on: the same bytes."""
    found = []
    for how in ("whole", "killed", "lost"):
        with Home() as h:
            make_dataset(h)
            if how == "lost":
                h.environment["WAVEMILL_EMULATOR"] = "lose=1000"  # behind step 6, each child anew
            running = h.start("train", "tones", "--name", "m", *LONG, *EMULATED, "--json")
            if how == "killed":
                wait_for(lambda: states_kept(h, "m") >= 2)
                kill_all(h, running)
                running = h.start("train", "tones", "--name", "m", "--resume", *EMULATED, "--json")
            out, said = running.communicate(timeout=200)
            assert running.returncode == 0, (out, said)
            line = journey.check_line(out.splitlines()[-1])
            assert line["computed"]["backend"] == "emulated" and line["results"]["moves"] == 0, line
            found.append(model(h, "m"))
            h.wait_for_end()
            if how == "whole":
                assert line["results"]["resumed_from"] is None
            else:
                assert 0 < line["results"]["resumed_from"] < 1, line["results"]
            if how == "lost":
                assert log_of(h).count("the device was lost") == 1, log_of(h)
    assert found[0] == found[1], "killed: other bytes"
    assert found[0] == found[2], "lost: other bytes"


def gone_on_with_elsewhere() -> None:
    with Home() as h:
        make_dataset(h)
        running = h.start("train", "tones", "--name", "m", *LONG, *EMULATED, "--precision", "tf32")
        wait_for(lambda: states_kept(h, "m") >= 2)
        kill_all(h, running)
        done = h.run("train", "tones", "--name", "m", "--resume", "--device", "cpu", "--json")
        assert re.search(rb"goes on at step \d+ on cpu \w+ fp32 what was computed on emulated \w+ tf32 \w+: the weights", done.stderr), done.stderr
        assert b"fp32 is what there is, not tf32" in done.stderr, done.stderr  # it is gone on with as it was begun
        line = journey.check_line(done.stdout.splitlines()[-1])
        assert line["results"]["moves"] == 1 and line["results"]["resumed_from"] > 0, line
        assert line["computed"]["backend"] == "cpu" and "on_device" not in line["computed"], line
        assert training(h, "m")["computed"]["moves"] == 1


def short_memory() -> None:
    """None for the network, or not even for scratch: the CPU computes all of it, with its bytes, and that is said."""
    with Home() as h:
        make_dataset(h)
        h.run("train", "tones", "--name", "cpu", *SHORT, "--device", "cpu")
        wanted = model(h, "cpu")
        h.wait_for_end()
        for limit, says in (("150M", "of the device's memory are wanted"), ("8M", "networks run on the cpu")):
            done = h.run("train", "tones", "--name", limit, *SHORT, *EMULATED, "--gpu-mem-limit", limit, "--json")
            line = journey.check_line(done.stdout.splitlines()[-1])
            assert line["computed"]["backend"] == "cpu" and line["results"]["moves"] == 0, line
            assert weights(model(h, limit)) == weights(wanted)
            h.wait_for_end()
            assert log_of(h).count(says) == 1, log_of(h)
            assert limit == "8M" or says.encode() in done.stderr, done.stderr


def several_at_once() -> None:
    """Two trainings and a separation on one device, each with the bytes that it has alone; their memory is booked."""
    demucs = ("separate", "--float32", "--clip-mode", "none", "--model", os.path.join(DATA, "htdemucs_tiny", "model.safetensors"),
              "--out")

    def drums(folder: str) -> bytes:
        for at, _, names in os.walk(folder):
            if "drums.wav" in names:
                with open(os.path.join(at, "drums.wav"), "rb") as f:
                    return f.read()
        raise AssertionError(folder)

    with Home() as h:
        make_dataset(h)
        song = h.path("song.wav")
        journey.write_wav(song, 1400, rate=44100, channels=2)
        served = h.serve(*EMULATED)
        settings = [(*SETTINGS, "--steps", "2", "--validate", "2", "--rate", rate) for rate in ("1e-3", "2e-3")]
        for i, s in enumerate(settings):
            h.run("train", "tones", "--name", f"alone{i}", *s)
        booked = [x["device_bytes"] for x in h.lines("jobs") if x["kind"] == "train"]
        h.run(*demucs, h.path("alone"), song)
        running = [h.start("train", "tones", "--name", f"both{i}", *s) for i, s in enumerate(settings)]
        running.append(h.start(*demucs, h.path("both"), song))
        for process in running:
            out, said = process.communicate(timeout=200)
            assert process.returncode == 0, (out, said)
        for i in range(2):
            assert weights(model(h, f"both{i}")) == weights(model(h, f"alone{i}")), i
        assert weights(model(h, "alone0")) != weights(model(h, "alone1"))
        assert drums(h.path("both")) == drums(h.path("alone"))
        assert len(booked) == 2 and all(64 << 20 < b < 80 << 20 for b in booked), booked
        served.terminate()
        assert served.wait(20) == 0


def uploads_book_too() -> None:
    """As `train` does; and when it is sent again it is the same job, though by then nothing would be booked."""
    with Home() as h:
        make_dataset(h)
        with service(h, *EMULATED) as (_, address):
            h.run("train", "tones", "--name", "here", *SHORT)
            (sent,) = h.lines("train", "tones", "--name", "there", *SHORT, "--upload", "--detach")
            booked = {j["kind"]: j["device_bytes"] for j in h.lines("jobs")}
            assert booked["train_objects"] == booked["train"] > 64 << 20, booked
            with far(h, address):  # on the CPU
                with Client(h.home) as client:
                    wait_for(lambda: len(workers(client)) == 2)
                (again,) = h.lines("train", "tones", "--name", "there", "--resume", "--detach")
                assert again == sent, (again, sent)
                line = h.lines("train", "tones", "--name", "there", "--resume")[-1]
            assert line["computed"]["backend"] == "emulated", line
            assert weights(model(h, "there")) == weights(model(h, "here"))


def memory_that_two_share() -> None:
    """On the CPU, two that fit alone and not together: the second waits, says so with sizes, and both have their bytes."""
    settings = ("--seed", "7", "--preset", "small", "--batch", "8", "--steps", "2", "--validate", "1", "--no-changes", "--previews", "1")
    with Home() as h:
        make_dataset(h)
        served = h.serve("--device", "cpu", "--memory-limit", "600")
        running = [h.start("train", "tones", "--name", name, *settings) for name in ("one", "two")]
        said = b""
        for process in running:
            _, text = process.communicate(timeout=200)
            assert process.returncode == 0, text
            said += text
        waits = re.findall(rb"waits for memory: train: (\d+) MiB are wanted; other work has (\d+) of (\d+)", said)
        assert len(waits) == 1, said
        wanted, held, there = map(int, waits[0])
        assert held == wanted < there < 2 * wanted, waits
        assert weights(model(h, "one")) == weights(model(h, "two"))
        served.terminate()
        assert served.wait(20) == 0


def cancelled_within_a_second() -> None:
    """In the midst of steps of seconds, on the CPU and on a device: the process that computes is gone."""
    for device, settings in (("cpu", ("--preset", "medium", "--batch", "64")), ("emulated", ("--preset", "small", "--batch", "4"))):
        with Home() as h:
            make_dataset(h)
            served = h.serve("--device", device, "--memory-limit", "12000")
            job = h.lines("train", "tones", "--name", "m", "--seed", "1", "--no-changes", *settings, "--detach")[0]["job"]
            wait_for(lambda: states_kept(h, "m") >= 1)
            time.sleep(0.5)
            before = set(h.processes("wavemill-compute"))
            assert len(before) == 1
            began = time.monotonic()
            h.run("cancel", str(job))
            wait_for(lambda: not before & set(h.processes("wavemill-compute")), 10)
            took = time.monotonic() - began
            print(f"    {device}: {took:.2f} s")
            assert took < 1, took
            assert [x["state"] for x in h.lines("jobs") if x["job"] == job] == ["cancelled"], h.lines("jobs")
            served.terminate()
            assert served.wait(20) == 0


def swept_in_two_places() -> None:
    """One trial of two is done again on the device: its row says so, and a line that close ranks may hang on that."""
    with Home() as h:
        make_dataset(h)
        two = ("--rates", "1e-3,4e-3", "--halving", "2", "--steps", "4", "--validate", "2", "--batch", "4", "--no-changes", "--previews", "1")
        blocked(h, os.path.join(h.home, "models", "s"), "sweep", "tones", "--name", "s", *two, "--device", "cpu")
        results = os.path.join(h.home, "sweeps", "s", "results")
        stopped = next(k for k in range(2) if not os.path.exists(os.path.join(results, f"trial-{k:03d}.round-1")))
        os.remove(os.path.join(results, f"trial-{stopped:03d}.round-0"))
        done = h.run("sweep", "tones", "--name", "s", "--resume", "--precision", "bf16", *EMULATED, code=2)
        assert b"no other settings" in done.stderr, done.stderr
        done = h.run("sweep", "tones", "--name", "s", "--resume", *EMULATED, "--json")
        rows = [json.loads(x) for x in done.stdout.splitlines()]
        assert [(x["trial"], x["backend"], x["moves"]) for x in rows] == [(1 - stopped, "cpu", 0), (stopped, "emulated", 1)], rows
        places = [x["place"] for x in rows]
        assert places[0].startswith("cpu ") and places[1].startswith("emulated "), places
        line = f"wavemill sweep: trained in more than one place: {places[0]}, {places[1]}; 1 of the trials moved on the way."
        assert line.encode() in done.stderr, done.stderr
        assert b"goes on at step 2 on emulated" in done.stderr, done.stderr


if __name__ == "__main__":
    journey.main([trained_on_it, killed_and_lost, gone_on_with_elsewhere, short_memory, several_at_once, uploads_book_too,
                  memory_that_two_share, cancelled_within_a_second, swept_in_two_places])
