"""Models as a user makes them: trained on a dataset, interrupted, killed, gone on with, and what is refused.

WAVEMILL_KILLS sets how many kills one training has to survive (4)."""
import json
import math
import os
import random
import shutil
import signal
import struct
import time

import journey
from journey import Home, write_wav

KILLS = int(os.environ.get("WAVEMILL_KILLS") or 4)
SEED = int(os.environ.get("WAVEMILL_SEED") or time.time_ns() % 2**31)
FAST = ("--steps", "60", "--batch", "4", "--validate", "15", "--no-changes", "--previews", "2", "--seed", "7")


def make_dataset(h: Home, name: str = "tones", count: int = 7) -> None:
    folder = h.path(name)
    os.makedirs(folder)
    for i in range(count):
        tone = [int(12000 * math.exp(-n / 3000) * math.sin(n * 0.02 * (i + 1))) for n in range(9000)]
        write_wav(os.path.join(folder, f"{i}.wav"), data=struct.pack(f"<{len(tone)}h", *tone))
    h.run("dataset", "create", name, folder)


def model(h: Home, name: str) -> bytes:
    with open(os.path.join(h.home, "models", name, "model.safetensors"), "rb") as f:
        return f.read()


def files(h: Home, name: str) -> list[str]:
    folder = os.path.join(h.home, "models", name)
    return sorted(os.path.relpath(os.path.join(at, n), folder) for at, _, names in os.walk(folder) for n in names)


def wait_for(what, seconds: float = 60):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


def trained_and_told() -> None:
    with Home() as h:
        make_dataset(h)
        lines = h.lines("train", "tones", "--name", "one", *FAST)
        steps = [x["validation"]["step"] for x in lines if "validation" in x]
        assert steps == [15, 30, 45, 60], lines
        result = lines[-1]["results"]
        assert result["steps"] == 60 and result["seed"] == "7" and result["parameters"] == 283792, result
        assert result["validation_loss"] > 0 and result["end"] == "all steps" and result["resumed_from"] is None, result
        assert files(h, "one") == ["begun.json", "config.json", "metrics.jsonl", "model.json", "model.safetensors",
                                   "previews/0.original.wav", "previews/0.prior.wav", "previews/0.reconstruction.wav",
                                   "training.json"], files(h, "one")
        folder = os.path.join(h.home, "models", "one")
        with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as f:
            metrics = [json.loads(line) for line in f]
        assert [m["step"] for m in metrics] == steps and metrics[-1]["train_loss"] < metrics[0]["train_loss"], metrics
        assert sorted(metrics[0]) == ["kl", "reconstruction", "seconds", "step", "train_loss", "validation_loss"]
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            config = json.load(f)
        with open(os.path.join(folder, "training.json"), encoding="utf-8") as f:
            training = json.load(f)
        assert config["latent"] == 16 and training["seed"] == "7" and training["result"]["steps"] == 60
        assert not any(training["changes"]["chances"].values()), training["changes"]
        bytes_ = model(h, "one")
        header = json.loads(bytes_[8:8 + struct.unpack("<Q", bytes_[:8])[0]])
        assert json.loads(header["__metadata__"]["config"]) == config
        assert header["encoder.0.weight"]["shape"] == [4, 4, 1, 16] and header["latent.weight"]["dtype"] == "F32"
        for name in ("original", "reconstruction", "prior"):
            preview, = h.lines("analyze", os.path.join(folder, f"previews/0.{name}.wav"))
            assert preview["input"]["frames_decoded"] == 63 * 256 and preview["results"]["peak"] > 0, preview["input"]
        h.run("models", "verify", "one")
        assert b"it takes nothing apart" in h.run("separate", "--model", "one", os.path.join(folder, "previews/0.prior.wav"), code=2).stderr
        text = h.run("train", "tones", "--name", "two", *FAST)
        assert b"60 steps (all steps)" in text.stdout and text.stderr.count(b"validation") == 4, text
        assert model(h, "two") == bytes_, "the same seed, another model"
        h.run("train", "tones", "--name", "three", *FAST[:-1], "8")
        assert model(h, "three") != bytes_, "another seed, the same model"
        assert [x["model"] for x in h.lines("models", "list")] == ["one", "three", "two"]
        h.run("models", "remove", "one", "two", "three")
        assert not [n for n in os.listdir(os.path.join(h.home, "models")) if n != ".lock"]


def killed_again_and_again() -> None:
    """Whatever is killed, and when: the model has the bytes of one that nobody disturbed."""
    print(f"    seed {SEED}")
    chance = random.Random(SEED)
    settings = ("--steps", "600", "--batch", "4", "--validate", "10", "--seed", "7", "--previews", "1")
    with Home() as h:
        make_dataset(h)
        began = time.monotonic()
        h.run("train", "tones", "--name", "whole", *settings)
        took = time.monotonic() - began
        running = h.start("train", "tones", "--name", "killed", *settings)
        states = os.path.join(h.home, "models", "killed", "states")
        for kill in range(KILLS):
            wait_for(lambda: os.path.exists(states) or running.poll() is not None)
            time.sleep(chance.random() * took / 2)
            if running.poll() is not None:
                break
            if kill % 2 == 0:  # the child; the worker starts another
                for pid in h.processes("wavemill-compute"):
                    os.kill(int(pid), signal.SIGKILL)
                continue
            for pid in [str(running.pid), *h.processes()]:  # everything
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            running.communicate()
            assert not h.wait_for_end()
            running = h.start("train", "tones", "--name", "killed", "--resume")
        out, said = running.communicate(timeout=120)
        if running.returncode == 1:  # three attempts were killed: that is what --resume is for
            h.run("train", "tones", "--name", "killed", "--resume")
        else:
            assert running.returncode == 0, (out, said)
        assert model(h, "killed") == model(h, "whole"), "other bytes"
        assert "states" not in files(h, "killed")


def interrupted_and_gone_on_with() -> None:
    settings = ("--steps", "4000", "--batch", "4", "--validate", "20", "--seed", "3")
    with Home() as h:
        make_dataset(h)
        running = h.start("train", "tones", "--name", "m", *settings)
        wait_for(lambda: b"step" in running.stderr.readline())
        second = h.run("train", "tones", "--name", "m", "--resume", code=1)
        assert b"being trained already" in second.stderr, second.stderr
        assert b"was begun and not finished" in h.run("train", "tones", "--name", "m", code=2).stderr
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
        assert running.returncode == 130 and b"--resume goes on" in said, (running.returncode, said)
        assert files(h, "m") == ["begun.json", "states"], files(h, "m")
        assert b"no other settings" in h.run("train", "tones", "--name", "m", "--resume", "--steps", "10", code=2).stderr
        # Altered bytes: it says so, and begins anew.
        with open(os.path.join(h.home, "models/m/states"), "r+b") as f:
            bytes_ = f.seek(0, os.SEEK_END)
            f.seek(5000)
            f.write(b"\xff" * (bytes_ - 5000))  # there may be two
        with open(os.path.join(h.home, "models/m/begun.json"), encoding="utf-8") as f:
            begun = json.load(f)
        assert begun["steps"] == 4000 and begun["seed"] == "3" and begun["dataset"] == "tones", begun
        begun["steps"] = 40
        with open(os.path.join(h.home, "models/m/begun.json"), "w", encoding="utf-8") as f:
            json.dump(begun, f)
        done = h.run("train", "tones", "--name", "m", "--resume")
        assert b"begun anew" in done.stderr and b"40 steps" in done.stdout, done
        again = h.run("train", "tones", "--name", "m", "--resume")
        assert b"is finished" in again.stderr and not again.stdout
        assert b"there is a model m" in h.run("train", "tones", "--name", "m", code=2).stderr


def detached() -> None:
    with Home() as h:
        served = h.serve()
        make_dataset(h)
        job = h.lines("train", "tones", "--name", "d", *FAST, "--detach")[0]["job"]
        h.run("watch", str(job))
        assert "model.safetensors" in files(h, "d")
        served.terminate()
        served.communicate()


def what_is_refused() -> None:
    with Home() as h:
        make_dataset(h)
        for arguments, said in (((), b"which dataset"), (("none",), b"none"), (("tones", "--preset", "huge"), b"tiny, small, medium"),
                                (("tones", "--name", "../x"), b"letters"), (("tones", "--steps", "0"), b"--steps"),
                                (("tones", "--rate", "nan"), b"--rate"), (("tones", "--resume"), b"nothing of tones-tiny was begun"),
                                (("tones", "other"), b"one dataset"), (("tones", "--seed", "x"), b"--seed"),
                                (("tones", "--csv"), b"--json")):
            done = h.run("train", *arguments, code=2)
            assert said in done.stderr, (arguments, done.stderr)
        assert not os.path.exists(os.path.join(h.home, "models")), "something was begun"
        # What is not its own stays as it is.
        os.makedirs(os.path.join(h.home, "models", "imported"))
        with open(os.path.join(h.home, "models", "imported", "a.safetensors"), "wb") as f:
            f.write(b"weights")
        assert b"something else" in h.run("train", "tones", "--name", "imported", *FAST, code=2).stderr
        assert files(h, "imported") == ["a.safetensors"]
        # Sounds that are gone: what is left is trained on; nothing left: said.
        kept = os.path.join(h.home, "datasets/tones/files")
        names = sorted(os.listdir(kept))
        os.remove(os.path.join(kept, names[2]))
        done = h.run("train", "tones", "--name", "rest", *FAST)
        assert done.stderr.count(b"left out") == 1, done.stderr
        shutil.rmtree(kept)
        shutil.rmtree(os.path.join(h.home, "datasets/tones/packs"))
        assert b"left out" in h.run("train", "tones", "--name", "nothing", *FAST, code=5).stderr
        make_dataset(h, "two", 2)
        small = h.run("train", "two", "--name", "big", "--preset", "medium", "--batch", "512", "--memory-limit", "1024", code=1)
        assert b"MiB are wanted" in small.stderr, small.stderr
        # A rate that nothing survives: it steps back, says so, gives up.
        bad = h.run("train", "two", "--name", "bad", *FAST, "--beta", "1e6", "--rate", "1", code=None)
        assert bad.returncode in (0, 1), bad


if __name__ == "__main__":
    journey.main([trained_and_told, killed_again_and_again, interrupted_and_gone_on_with, detached, what_is_refused])
