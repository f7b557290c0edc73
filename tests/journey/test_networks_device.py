"""`wavemill separate` with networks on a device, the emulator: memory that is short, a loss in mid-song, two models, broken songs.

The network is the tiny one, of which the emulator runs ten segments in a second.
"""
import os
import struct

import journey
import numpy as np
from journey import DATA, Home, write_wav

TINY = os.path.join(DATA, "htdemucs_tiny", "model.safetensors")
STEMS = ["drums", "bass", "other", "vocals"]
SEPARATE = ("separate", "--float32", "--clip-mode", "none", "--device", "emulated")
FRAMES = 1400


def song(h: Home, name: str, frames: int = FRAMES, seed: int = 1) -> str:
    noise = np.random.default_rng(seed).normal(size=2 * frames) * 3000
    path = h.path(name)
    write_wav(path, rate=44100, channels=2, data=noise.astype("<i2").tobytes())
    return path


def other_model(path: str) -> str:
    """The tiny network with the sign of every second number changed."""
    with open(TINY, "rb") as f:
        raw = bytearray(f.read())
    header = 8 + struct.unpack_from("<Q", raw)[0]
    raw[header + 3::4] = bytes(x ^ 0x80 for x in raw[header + 3::4])
    with open(path, "wb") as f:
        f.write(raw)
    return path


def stems(folder: str) -> list[bytes]:
    found = []
    for stem in STEMS:
        with open(os.path.join(folder, stem + ".wav"), "rb") as f:
            found.append(f.read())
        assert len(found[-1]) > 44
    return found


def log_of(h: Home) -> str:
    with open(os.path.join(h.home, "serve.log"), encoding="utf-8") as f:
        return f.read()


def short_memory() -> None:
    """No memory for a network's scratch, or none for its activations: the CPU computes, with its bytes, and that is said once."""
    with Home() as h:
        songs = [song(h, "a.wav"), song(h, "b.wav", seed=2)]
        h.run("separate", "--float32", "--clip-mode", "none", "--device", "cpu", "--model", TINY, "--out", h.path("cpu"), *songs)
        wanted = [stems(h.path(f"cpu/model/{name}")) for name in "ab"]
        h.wait_for_end()
    for limit, says in (("8M", "networks run on the cpu:"), ("87M", "the cpu computes:")):
        with Home() as h:
            songs = [song(h, "a.wav"), song(h, "b.wav", seed=2)]
            lines = h.lines(*SEPARATE, "--gpu-mem-limit", limit, "--precision", "tf32", "--model", TINY, "--out", h.path("o"), *songs)
            assert all(x["computed"]["backend"] == "cpu" and "on_device" not in x["computed"] for x in lines), lines
            assert [stems(h.path(f"o/model/{name}")) for name in "ab"] == wanted, limit
            h.wait_for_end()
            assert log_of(h).count(says) == 1, log_of(h)


def a_device_that_is_lost() -> None:
    """The first child loses its device behind the third run, of four at least for five segments; the second goes on behind the second: the same bytes."""
    found = []
    for lose in (None, "lose=520"):
        with Home() as h:
            if lose:
                h.environment["WAVEMILL_EMULATOR"] = lose
            (line,) = h.lines(*SEPARATE, "--overlap", "0.74", "--model", TINY, "--out", h.path("o"), song(h, "song.wav"))
            assert line["computed"]["backend"] == "emulated", line
            found.append(stems(h.path("o/model/song")))
            h.wait_for_end()
            if lose:
                assert 0 < line["results"]["resumed_from"] < 1, line["results"]
                assert log_of(h).count("the device was lost") == 1, log_of(h)
    assert found[0] == found[1]


def two_models_at_once() -> None:
    """Each has the bytes that it has alone."""
    with Home() as h:
        path, models = song(h, "song.wav"), [TINY, other_model(h.path("other.safetensors"))]
        for model in models:
            h.run(*SEPARATE, "--model", model, "--out", h.path("alone"), path)
        running = [h.start(*SEPARATE, "--json", "--model", model, "--out", h.path("both"), path) for model in models]
        for process in running:
            text, _ = process.communicate(timeout=200)
            (line,) = [journey.check_line(x) for x in text.splitlines()]
            assert process.returncode == 0 and line["computed"]["backend"] == "emulated", line
        alone = [stems(h.path(f"alone/{name}/song")) for name in ("model", "other")]
        assert alone[0] != alone[1]
        assert [stems(h.path(f"both/{name}/song")) for name in ("model", "other")] == alone


def broken_songs_among_others() -> None:
    """Cut in the middle of its bytes, or not numbers: named with the reason, and the others have the bytes that they have alone."""
    with Home() as h:
        good = [song(h, "a.wav"), song(h, "b.wav", seed=2)]
        h.run(*SEPARATE, "--model", TINY, "--out", h.path("alone"), *good)
        flac = os.path.join(DATA, "oneshot_hihat_mono_96k.flac")
        with open(flac, "rb") as f, open(h.path("cut.flac"), "wb") as cut:
            cut.write(f.read()[:os.path.getsize(flac) // 2])
        broken = np.random.default_rng(3).normal(size=2 * FRAMES).astype("<f4")
        broken[FRAMES] = np.nan
        write_wav(h.path("nan.wav"), rate=44100, channels=2, bits=32, data=broken.tobytes())
        command = (*SEPARATE, "--model", TINY, "--out", h.path("o"))
        lines = h.lines(*command, good[0], h.path("cut.flac"), h.path("nan.wav"), good[1], code=1)
        errors = {os.path.basename(x["input"]["path"]): x["error"] for x in lines if "error" in x}
        assert set(errors) == {"cut.flac", "nan.wav"} and len(lines) == 4, lines
        assert all(e["class"] == "INPUT" and e["message"] for e in errors.values()), errors
        assert "finite" in errors["nan.wav"]["message"], errors
        assert sorted(os.listdir(h.path("o/model"))) == ["a", "b"], os.listdir(h.path("o/model"))
        for name in "ab":
            assert stems(h.path(f"o/model/{name}")) == stems(h.path(f"alone/model/{name}")), name


def device_memory_is_booked() -> None:
    """Where all workers are on a device that has so much; else none, and a booking keeps the work from nobody."""
    with Home() as h:
        path, booked = song(h, "song.wav"), []
        for options in (("emulated",), ("emulated", "--gpu-mem-limit", "500K"), ("cpu",)):
            served = h.serve("--device", *options)
            (line,) = h.lines("separate", "--model", TINY, "--out", h.path("o"), path)
            booked.append(h.lines("jobs")[-1].get("device_bytes") or 0)
            assert line["computed"]["backend"] == ("emulated" if len(booked) == 1 else "cpu"), line["computed"]
            if len(booked) == 1:
                done = h.run("submit", "separate", "--device-memory", "auto", "--model", TINY, "--stems", "bass", "--out", h.path("s"), path)
                h.run("watch", done.stdout.split()[1].rstrip(b":").decode())
                assert h.lines("jobs")[-1]["device_bytes"] == booked[0] and os.path.exists(h.path("s/model/song/bass.wav"))
                refused = h.run("submit", "separate", "--device-memory", "auto", "--model", "hpss", path, code=2)
                assert b"no networks" in refused.stderr, refused.stderr
            served.terminate()
            assert served.wait(20) == 0
        least = os.path.getsize(TINY) + 500 * 1024
        assert least < booked[0] < 4 * least and booked[1:] == [0, 0], booked


if __name__ == "__main__":
    journey.main([short_memory, device_memory_is_booked, a_device_that_is_lost, two_models_at_once, broken_songs_among_others])
