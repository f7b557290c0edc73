"""Work on a device from end to end, with the emulator in its place: equal results, a limit, a loss."""
import os

import journey
import numpy as np
from journey import AUDIO, Home

# Short ones, of two rates: a second of audio is seconds of emulation.
SHORT = ("oneshot_shaker_mono_44k_float.wav", "oneshot_hihat_mono_96k.flac", "bird_stereo_44k.ogg")
FILES = [path for path in AUDIO if os.path.basename(path) in SHORT]
TAKEN = {"rms", "peak", "zero_crossing", "mel", "centroid", "bandwidth", "rolloff", "flatness", "contrast", "decibel", "mfcc",
         "statistics"}

# Nearly empty bands and steps between bins: what the f32 twins of the CPU differ in from the scalar one too.
LOOSE = {"spectral_rolloff_hz": 0.05, "spectral_contrast_db": 2e-2, "spectral_flatness": 1e-3, "spectral_bandwidth_hz": 1e-3}


def by_path(lines: list[dict]) -> dict:
    return {line["input"]["path"]: line for line in lines}


def statistics(line: dict) -> dict[str, np.ndarray]:
    """Each feature's statistics as one array; those of log-mel and cepstra differ by the device's rounding."""
    found = {}
    for name, feature in line["results"]["features"].items():
        for part in (feature, feature["delta"]):
            for kind in ("mean", "var", "median", "min", "max"):
                found.setdefault(name, []).append(np.atleast_1d(np.array(part[kind], dtype=float)))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def same_results() -> None:
    with Home() as h:
        cpu = by_path(h.lines("analyze", "--device", "cpu", *FILES))
        h.wait_for_end()
    with Home() as h:
        device = by_path(h.lines("analyze", "--device", "emulated", *FILES))
        assert cpu.keys() == device.keys() and len(cpu) == len(FILES)
        for path, line in device.items():
            computed = line["computed"]
            assert computed["backend"] == "emulated" and set(computed["on_device"].split(",")) == TAKEN, computed
            assert computed["launches"] >= 1 and computed["device_s"] > 0 and computed["copy_in_s"] >= 0
            assert cpu[path]["computed"]["backend"] == "cpu" and "on_device" not in cpu[path]["computed"]
            ours, theirs = statistics(line), statistics(cpu[path])
            assert ours.keys() == theirs.keys()
            for name, values in ours.items():
                error = np.nanmax(np.abs(values - theirs[name]) / (1e-6 + np.nanmax(np.abs(theirs[name]))))
                assert error <= LOOSE.get(name, 1e-4), (path, name, error)
        h.wait_for_end()
        with_stages(h)
        again = by_path(h.lines("analyze", "--device", "emulated", "--force", *FILES))
        for path, line in again.items():
            assert line["results"] == device[path]["results"], path


def with_stages(h: Home) -> None:
    """`show` sums what a served device did."""
    served = h.serve("--device", "emulated")
    h.run("analyze", "--force", FILES[0])
    stages = h.lines("show", str(h.lines("jobs")[-1]["job"]))[0]["stages"]
    assert stages["on_device"] == 1 and stages["launches"] >= 11 and stages["device_s"] > 0 and stages["device_busy"] > 0
    served.terminate()
    assert served.wait(20) == 0


def arrays() -> None:
    for kind, limit in (("stft", 1e-6), ("logmel", 1e-5), ("rms", 1e-6), ("mfcc", 1e-5), ("centroid", 1e-5), ("flux", 1e-5),
                        ("poly", 1e-5)):
        found = {}
        for device in ("cpu", "emulated"):
            with Home() as h:
                out = h.path("x.npy")
                h.run("features", "--kind", kind, "--device", device, "--out", out, FILES[0])
                found[device] = np.load(out)
        ours, theirs = found["emulated"], found["cpu"]
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        assert np.linalg.norm(ours - theirs) <= limit * np.linalg.norm(theirs), kind


def log_of(h: Home) -> str:
    with open(os.path.join(h.home, "serve.log"), encoding="utf-8") as f:
        return f.read()


def a_limit_that_leaves_no_room() -> None:
    """Scratch fits and a row does not; or not even scratch does: the CPU takes over, and that is said once."""
    for limit, says in (("200K", "the cpu computes from now on"), ("50", "the cpu computes:")):
        with Home() as h:
            lines = h.lines("analyze", "--device", "emulated", "--gpu-mem-limit", limit, *FILES)
            assert len(lines) == len(FILES) and all("results" in line for line in lines)
            assert all(line["computed"]["backend"] == "cpu" for line in lines)
            h.wait_for_end()
            assert log_of(h).count(says) == 1, log_of(h)


def a_device_that_is_lost() -> None:
    """Each child loses its device after some launches: another takes its place, and no item is lost."""
    with Home() as h:
        h.environment["WAVEMILL_EMULATOR"] = "lose=20"  # of 24 launches or more
        lines = h.lines("analyze", "--device", "emulated", *FILES)
        assert len(lines) == len(FILES) and all("results" in line for line in lines), [x.get("error") for x in lines]
        h.wait_for_end()
        assert "the device was lost" in log_of(h), log_of(h)


if __name__ == "__main__":
    journey.main([same_results, arrays, a_limit_that_leaves_no_room, a_device_that_is_lost])
