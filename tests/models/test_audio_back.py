"""Audio from mel bands and audio at another speed or pitch, beside librosa 0.11 on real recordings.

The least squares leave no more than librosa's do, on bands that a spectrum has and on bands that none has; Griffin-Lim
gets within half a dB of librosa's spectral convergence after as many iterations; stretched signals are librosa's sample
by sample, which is given doubles: with floats its phases drift."""
import os
import pathlib
import subprocess

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import librosa  # noqa: E402
import numpy as np  # noqa: E402
import soundfile  # noqa: E402

DATA = pathlib.Path(os.environ.get("WAVEMILL_TEST_DATA", "tests/data"))
DUMP = pathlib.Path(os.environ.get("WAVEMILL_BIN", "bin")).parent / "tests/audio_back_dump"
RECORDINGS = ("music_stereo_44k.flac", "speech_mono_16k.wav")
N_FFT, HOP, MELS, ITERATIONS = 2048, 512, 128, 32


def dump(x: np.ndarray, *arguments) -> np.ndarray:
    return timed(x, *arguments)[0]


def timed(x: np.ndarray, *arguments) -> tuple:
    done = subprocess.run([DUMP, *map(str, arguments)], input=np.ascontiguousarray(x, np.float32).tobytes(),
                          capture_output=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)
    return np.frombuffer(done.stdout, np.float32), float(done.stderr)


def recording(name: str, seconds: float = 3) -> tuple:
    y, rate = soundfile.read(DATA / name, dtype="float32", always_2d=True)
    y = y.mean(axis=1)
    start = min(rate, max(0, len(y) - int(seconds * rate)))
    return y[start : start + int(seconds * rate)], rate


def relative(got: np.ndarray, want: np.ndarray) -> float:
    assert got.shape == want.shape and np.all(np.isfinite(got)), (got.shape, want.shape)
    return float(np.linalg.norm(got.astype(np.float64) - want) / np.linalg.norm(want))


def decibels(ratio: float) -> float:
    return 20 * np.log10(ratio)


def magnitudes_of(bands: np.ndarray, rate: int, power: float, log: bool, steps: int = ITERATIONS) -> np.ndarray:
    got = dump(bands.T, "mel", rate, N_FFT, MELS, power, int(log), steps, bands.shape[1])
    return got.reshape(-1, N_FFT // 2 + 1).T


def test_least_squares():
    noise = np.random.default_rng(3)
    for name in RECORDINGS:
        y, rate = recording(name, 0.3)
        weights = librosa.filters.mel(sr=rate, n_fft=N_FFT, n_mels=MELS)
        for power in (1.0, 2.0):
            exact = weights @ np.abs(librosa.stft(y)) ** power
            for deviation in (0.0, 0.3):  # as a network's bands are: of no spectrum
                bands = exact * np.exp(deviation * noise.standard_normal(exact.shape)).astype(np.float32)
                want = librosa.feature.inverse.mel_to_stft(bands, sr=rate, n_fft=N_FFT, power=power)
                got = magnitudes_of(10 * np.log10(np.maximum(bands, 1e-10)), rate, power, True)
                assert np.all(got >= 0) and np.all(np.isfinite(got))
                ours, theirs = (float(np.linalg.norm(weights @ s.astype(np.float64) ** power - bands)
                                      / np.linalg.norm(bands)) for s in (got, want))
                print(f"  {name}, power {power:g}, noise {deviation:g}: |W s - e| / |e| {ours:.1e}, librosa {theirs:.1e}")
                assert ours <= 1.02 * theirs, (ours, theirs)


def convergence(y: np.ndarray, magnitude: np.ndarray) -> float:
    return decibels(relative(np.abs(librosa.stft(y, n_fft=N_FFT, hop_length=HOP)), magnitude.astype(np.float64)))


def griffin_lim(magnitude: np.ndarray, samples: int, iterations: int, momentum: float, seed: int) -> tuple:
    return timed(magnitude.T, "phase", N_FFT, HOP, iterations, momentum, seed, magnitude.shape[1], samples)


class Phases(np.random.RandomState):
    """Where librosa asks for its first phases it gets ours: Philox 4x32-10 by number of the value, frames before bins."""

    def __init__(self, seed: int):
        super().__init__(0)
        self.key = seed

    def random(self, size=None):
        bins, frames = size
        low, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
        blocks = np.arange(-(-bins * frames // 4), dtype=np.uint64)
        c = [blocks & mask, blocks >> low, np.zeros_like(blocks), np.zeros_like(blocks)]
        k = [self.key & 0xFFFFFFFF, self.key >> 32]
        for _ in range(10):
            a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
            c = [(b >> low) ^ c[1] ^ np.uint64(k[0]), b & mask, (a >> low) ^ c[3] ^ np.uint64(k[1]), a & mask]
            k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
        return (np.stack(c, axis=1).reshape(-1)[: bins * frames] / 2.0**32).reshape(frames, bins).T


def test_spectral_convergence():
    for name in RECORDINGS:
        y, _ = recording(name, 2)
        magnitude = np.abs(librosa.stft(y, n_fft=N_FFT, hop_length=HOP))
        for iterations, momentum in ((2, 0.99), (8, 0.99), (ITERATIONS, 0.99), (ITERATIONS, 0.0)):
            got, _ = griffin_lim(magnitude, len(y), iterations, momentum, 2**40 + 5)
            want = librosa.griffinlim(magnitude, n_iter=iterations, momentum=momentum, hop_length=HOP, length=len(y),
                                      random_state=Phases(2**40 + 5))
            ours, theirs = convergence(got, magnitude), convergence(want, magnitude)
            gap = relative(got, want)
            print(f"  {name}, {iterations} iterations, momentum {momentum}: {ours:.2f} dB, librosa {theirs:.2f} dB, "
                  f"{gap:.1e} apart")
            assert abs(ours - theirs) <= 0.5, (ours, theirs)
            assert gap <= (1e-2 if iterations == ITERATIONS else 1e-4), gap  # small differences grow


def fraction(ratio: float) -> tuple:
    """The nearest of parts up to 512."""
    pairs = ((round(ratio * q), q) for q in range(1, 513) if round(ratio * q) <= 512)
    return min(pairs, key=lambda pair: abs(pair[0] / pair[1] - ratio))


def test_speed_and_pitch():
    for name in RECORDINGS:
        y, rate = recording(name, 1)
        for speed in (0.8, 1.3, 2.0):
            length = round(len(y) / speed)
            spectra = librosa.stft(y.astype(np.float64), n_fft=N_FFT, hop_length=HOP)
            want = librosa.istft(librosa.phase_vocoder(spectra, rate=speed, hop_length=HOP, n_fft=N_FFT),
                                 hop_length=HOP, length=length)
            error = relative(dump(y, "stretch", speed, 1, len(y)), want)
            print(f"  {name} at {speed}: {error:.1e} from librosa's")
            assert error <= 1e-4, error
        for semitones in (-5, 3):
            up, down = fraction(2 ** (semitones / 12))
            want = librosa.effects.pitch_shift(y.astype(np.float64), sr=rate, n_steps=12 * np.log2(up / down))
            error = relative(dump(y, "pitch", semitones, 1, len(y)), want)
            print(f"  {name}, {semitones} semitones as {up}/{down}: {error:.1e} from librosa's")
            assert error <= 3e-2, error  # soxr's filter ends elsewhere


if __name__ == "__main__":
    for title, test in list(globals().items()):
        if title.startswith("test_"):
            test()
            print(f"pass {title}", flush=True)
