#!/usr/bin/env python3
"""How soon the queue acts on what runs: a worker of one thread trains; seconds until something more important is done, until
the training stands still after `pause`, goes on after `resume`, and is ended by `cancel`.

    bench/steering.py [--bin build/bin] [--rounds 7]

Each figure is that of whole commands, with their start and their connection; medians and ranges of the rounds are printed."""
import argparse
import json
import math
import os
import pathlib
import statistics
import struct
import subprocess
import tempfile
import time
import wave

ROOT = pathlib.Path(__file__).resolve().parent.parent
TRAIN = ("train", "tones", "--steps", "1000000", "--patience", "1000000", "--batch", "4", "--validate", "50", "--previews", "1", "--seed", "9")
PATIENCE_S = 60


def tone(path: str, number: int) -> None:
    with wave.open(path, "wb") as f:
        f.setparams((1, 2, 22050, 0, "NONE", ""))
        f.writeframes(b"".join(struct.pack("<h", int(12000 * math.exp(-n / 3000) * math.sin(n * 0.02 * number))) for n in range(9000)))


class Home:
    def __init__(self, programs: str, folder: str) -> None:
        self.program, self.folder = os.path.join(os.path.abspath(programs), "wavemill"), folder
        self.environment = os.environ | {"WAVEMILL_HOME": os.path.join(folder, "home")}

    def start(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen([self.program, *arguments], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def run(self, *arguments: str) -> list[dict]:
        done = subprocess.run([self.program, *arguments, "--json"], env=self.environment, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def leased(self, job: str) -> bool:
        return self.run("show", job)[0]["items"]["leased"] > 0

    def wait(self, what) -> None:
        end = time.monotonic() + PATIENCE_S
        while not what():
            if time.monotonic() > end:
                raise SystemExit("it did not happen within a minute")
            time.sleep(0.005)


def seconds(act) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def one_round(h: Home, number: int) -> dict[str, float]:
    running = h.start(*TRAIN, "--name", f"m{number}")
    h.wait(lambda: any(j["kind"] == "train" and j["items"]["leased"] and (j["progress"] or 0) > 0 for j in h.run("jobs", "--state", "running")))
    job = str(h.run("jobs", "--state", "running")[0]["job"])
    time.sleep(2)  # it has saved more than once
    sound = os.path.join(h.folder, f"urgent{number}.wav")
    tone(sound, 20 + number)
    took = {"analyze --priority 5, until it is done": seconds(lambda: h.run("analyze", sound, "--priority", "5"))}
    h.wait(lambda: h.leased(job))
    time.sleep(1)
    took["pause, until it stands still"] = seconds(lambda: (h.run("pause", job), h.wait(lambda: not h.leased(job))))
    took["resume, until a worker has it"] = seconds(lambda: (h.run("resume", job), h.wait(lambda: h.leased(job))))
    time.sleep(1)
    took["cancel, until its command has ended"] = seconds(lambda: (h.run("cancel", job), running.wait(PATIENCE_S)))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=str(ROOT / "build" / "bin"))
    parser.add_argument("--rounds", type=int, default=7)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wavemill-steering-") as folder:
        h = Home(a.bin, folder)
        os.mkdir(os.path.join(folder, "sounds"))
        for i in range(7):
            tone(os.path.join(folder, "sounds", f"{i}.wav"), i + 1)
        serving = h.start("serve", "--threads", "1")
        try:
            h.wait(lambda: subprocess.run([h.program, "jobs"], env=h.environment, capture_output=True, check=False).returncode == 0)
            h.run("dataset", "create", "tones", os.path.join(folder, "sounds"))
            rounds = [one_round(h, i) for i in range(a.rounds)]
        finally:
            serving.terminate()
            serving.wait()
    print("| | median, s | least to most |\n|---|---|---|")
    for name in rounds[0]:
        all_of = [r[name] for r in rounds]
        print(f"| {name} | {statistics.median(all_of):.2f} | {min(all_of):.2f} to {max(all_of):.2f} |")


if __name__ == "__main__":
    main()
