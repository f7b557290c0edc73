"""`wavemill features --kind samples`: the signal as librosa.load gives it, and exactly what our own rows make of it.

Decoded by soundfile (what libsndfile cannot read: by ffmpeg), mixed down by librosa, resampled by kernel_dump, which runs
the row of kernels/ over the whole signal at once: arrays must be equal to the last bit. Against librosa.load, whose
resampler is another: the same length, and more than 60 dB apart where the signal has nothing near either half rate."""
import os
import struct
import subprocess
import sys
import tempfile
import traceback
import warnings

import librosa
import numpy as np
import soundfile

BIN = os.environ.get("WAVEMILL_BIN", "build/bin")
DATA = os.environ.get("WAVEMILL_TEST_DATA", "tests/data")
WAVEMILL = os.path.join(BIN, "wavemill")
FORMATS = ["speech_mono_8k.wav", "music_stereo_96k_24bit.flac", "loop_electric_stereo_44k_24bit.aiff", "music_3ch_44k.flac",
           "speech_4ch_16k.flac", "speech_two_mono_16k_double.wav", "oneshot_tambourine_mono_44k_float.wav"]
LOSSY = ["music_stereo_44k.mp3", "dog_mono_44k.ogg"]  # releases of a decoder differ in the last bits


def run(*arguments: str, code: int = 0) -> str:
    done = subprocess.run([WAVEMILL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code, (arguments, done.returncode, done.stderr)
    return done.stdout + done.stderr


def samples(path: str, *options: str) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "x.npy")
        run("features", path, "--kind", "samples", "--out", out, *options)
        return np.load(out)


def resampled(y: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    dump = os.path.join(os.path.dirname(BIN), "tests", "kernel_dump")
    request = f"{len(y)} resample {rate_in} {rate_out}\n".encode() + np.ascontiguousarray(y, np.float32).tobytes()
    said = subprocess.run([dump], input=request, capture_output=True, check=True).stdout
    count = struct.unpack_from("<Q", said)[0]
    assert len(said) == 8 + 4 * count
    return np.frombuffer(said, np.float32, offset=8)


def decoded(path: str) -> tuple[np.ndarray, int]:
    values, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return values, rate


def same(got: np.ndarray, want: np.ndarray) -> bool:
    return got.dtype == np.float32 and got.flags.c_contiguous and got.shape == want.shape and got.tobytes() == want.tobytes()


def every_format_as_decoded(folder: str) -> None:
    for name in FORMATS:
        path = os.path.join(DATA, name)
        values, rate = decoded(path)
        mono = librosa.to_mono(values.T)
        each = values[:, 0] if values.shape[1] == 1 else values
        assert same(samples(path), mono), name
        assert same(samples(path, "--channels", "each"), each), name
    assert same(samples(path, "--rate", str(rate), "--channels", "mix"), mono)
    for name in LOSSY:
        values, rate = decoded(os.path.join(DATA, name))
        mono = librosa.to_mono(values.T)
        got = samples(os.path.join(DATA, name))
        assert got.shape == mono.shape and np.max(np.abs(got - mono)) < 1e-4, name


def what_only_ffmpeg_reads(folder: str) -> None:
    path, wav = os.path.join(DATA, "music_pluck_stereo_48k.m4a"), os.path.join(folder, "decoded.wav")
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", path, "-c:a", "pcm_f32le", wav], check=True)
    values, rate = decoded(wav)
    each, mono = samples(path, "--channels", "each"), samples(path)
    assert each.shape == values.shape and np.max(np.abs(each - values)) < 1e-6
    assert same(mono, librosa.to_mono(each.T))
    assert same(samples(path, "--rate", "16000"), resampled(mono, rate, 16000))


def at_another_rate_as_our_rows(folder: str) -> None:
    """Longer than a few blocks, so that cuts fall into it; up and down; one channel and several."""
    noise = 0.3 * np.random.default_rng(5).standard_normal((700001, 3))
    path = os.path.join(folder, "noise.wav")
    soundfile.write(path, noise, 44100, subtype="FLOAT")
    values, _ = decoded(path)
    mono = librosa.to_mono(values.T)
    assert same(samples(path), mono)
    for rate in (16000, 48000):
        assert same(samples(path, "--rate", str(rate)), resampled(mono, 44100, rate)), rate
    said = run("features", path, "--kind", "samples", "--rate", "7", "--out", os.path.join(folder, "x.npy"), code=1)
    assert path in said and "7 Hz" in said, said  # beyond 1000:1
    want = np.stack([resampled(values[:, c], 44100, 22050) for c in range(3)], axis=1)
    assert same(samples(path, "--rate", "22050", "--channels", "each"), np.ascontiguousarray(want))


def near_librosa(folder: str) -> None:
    t = np.arange(3 * 44100) / 44100
    tones = sum(np.sin(2 * np.pi * f * t + f) for f in (110, 997, 3001, 6007)) / 8
    path = os.path.join(folder, "tones.wav")
    soundfile.write(path, np.stack([tones, 0.5 * tones], axis=1), 44100, subtype="FLOAT")
    for rate in (16000, 48000):
        want, _ = librosa.load(path, sr=rate, mono=True)
        got = samples(path, "--rate", str(rate))
        assert got.shape == want.shape
        inner = slice(2000, -2000)  # the ends are one filter's business, and the other's
        error = np.linalg.norm(got[inner] - want[inner]) / np.linalg.norm(want[inner])
        assert 20 * np.log10(1 / max(error, 1e-12)) > 60, (rate, error)


def what_is_no_number_is_refused(folder: str) -> None:
    for value, channels in ((np.nan, 1), (np.inf, 2), (-np.inf, 2)):
        noise = 0.1 * np.random.default_rng(6).standard_normal((300000, channels))
        noise[290001, channels - 1] = value
        path, out = os.path.join(folder, f"bad{value}.wav"), os.path.join(folder, "bad.npy")
        soundfile.write(path, noise, 16000, subtype="FLOAT")
        for options in ([], ["--channels", "each", "--rate", "8000"]):
            said = run("features", path, "--kind", "samples", "--out", out, *options, code=1)
            assert path in said and "sample 290001 is not a finite number" in said, said
            assert not os.path.exists(out)
    loud = os.path.join(folder, "loud.wav")
    soundfile.write(loud, np.where(np.arange(4000) // 7 % 2, 3.4e38, -3.4e38).astype(np.float32), 16000, subtype="FLOAT")
    assert np.isfinite(samples(loud)).all()
    said = run("features", loud, "--kind", "samples", "--rate", "24000", "--out", os.path.join(folder, "x.npy"), code=1)
    assert loud in said and "too large for float32" in said, said
    assert np.isfinite(samples(loud)).all()  # the file itself is not to blame


def kept_and_shown(folder: str) -> None:
    path, out = os.path.join(DATA, "speech_4ch_16k.flac"), os.path.join(folder, "x.npy")
    options = ["features", path, "--kind", "samples", "--out", out, "--channels", "each"]
    values, _ = decoded(path)
    assert f"samples [{values.shape[0]}, 4] float32\n" in run(*options)
    assert "from the store" not in run(*options)  # large and quickly made again: not stored unasked
    assert "from the store" not in run(*options, "--keep")
    assert "from the store" in run(*options) and same(np.load(out), values)
    # what is no parameter of the signal gives the same record, what is one another
    assert "from the store" in run(*options, "--n-fft", "512", "--hop", "7", "--no-center", "--n-mels", "9")
    assert "from the store" not in run(*options, "--rate", "8000")
    mono = options[:-1] + ["mix"]
    said = run(*mono, "--json", "--keep")
    assert '"from_store":false' in said and f'"shape":[{values.shape[0]}]' in said, said
    assert "from the store" in run(*mono) and same(np.load(out), librosa.to_mono(values.T))
    archive = os.path.join(folder, "all.npz")
    run("store", "export", "--format", "npz", "--out", archive)
    arrays = np.load(archive)
    assert sorted(a.shape for a in arrays.values()) == [values.shape[:1], values.shape], [a.shape for a in arrays.values()]
    run("features", path, "--kind", "rms", "--out", out, "--channels", "each", code=2)
    run("features", path, "--kind", "samples", "--out", out, "--channels", "left", code=2)


CASES = [every_format_as_decoded, what_only_ffmpeg_reads, at_another_rate_as_our_rows, near_librosa, what_is_no_number_is_refused,
         kept_and_shown]


def main() -> None:
    warnings.simplefilter("ignore")
    failed = 0
    with tempfile.TemporaryDirectory() as home:
        os.environ["WAVEMILL_HOME"] = os.path.join(home, "home")
        server = subprocess.Popen([WAVEMILL, "serve"], stderr=subprocess.DEVNULL)
        try:
            for case in CASES:
                try:
                    case(home)
                    print(f"pass {case.__name__}", flush=True)
                except Exception:  # pylint: disable=broad-except
                    failed += 1
                    print(f"FAIL {case.__name__}", flush=True)
                    traceback.print_exc()
        finally:
            server.terminate()
            server.wait()
    print(f"{len(CASES) - failed} passed, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
