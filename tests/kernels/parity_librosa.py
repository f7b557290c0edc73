"""Compares the CPU twins with librosa 0.11 over real audio and many parameter sets; prints the worst figure of each.

    parity_librosa.py [--data DIR ...] [--dump PROGRAM] [--files N] [--seconds S] [--verbose]

Figures are relative L2 errors: of the worst frame for stft (librosa transforms in double and rounds to complex64, as the
CPU twin does), of the whole result for the others (librosa sums those in float32). mixdown must be bit-equal. Audio comes
from $WAVEMILL_TEST_DATA or --data; generated signals with known difficulties are always added. NaN fails everything.
The widest twin and the scalar one are asked for the same, each held to what librosa said once.
"""
import argparse
import itertools
import os
import pathlib
import subprocess
import sys
import warnings

import librosa
import numpy as np
import soundfile

WINDOWS = ["hann", "hamming", "blackman", "bartlett", "boxcar"]
LIMITS = {"stft": 1e-6, "mel": 1e-5, "log-mel": 1e-5, "rms": 1e-5, "zero_crossing": 1e-5, "centroid": 1e-5, "mixdown": 0}
SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aiff"}


def spectral(n_fft, hop, win=0, window="hann", center=True, pad="constant"):
    return dict(n_fft=n_fft, hop=hop, win=win, window=window, center=center, pad=pad)


def bands(mels=128, fmin=0.0, fmax=0.0, htk=False, norm=True, log=False, power=2.0):
    return dict(mels=mels, fmin=fmin, fmax=fmax, htk=htk, norm=norm, log=log, power=power)


# Every size once with librosa's defaults, then what each other parameter changes.
STFT_SETS = [spectral(n, max(n // 4, 1)) for n in (16, 100, 255, 400, 512, 1024, 1153, 2048, 4096, 8192, 65521, 65536)]
STFT_SETS += [spectral(n, hop) for n, hop in [(16, 1001), (512, 2000), (400, 160), (2048, 333), (1153, 577), (255, 1021)]]
STFT_SETS += [spectral(n, 171, win) for n, win in [(512, 400), (512, 401), (513, 400), (2048, 1), (1153, 1152)]]
STFT_SETS += [spectral(n, 257, window=w) for n, w in itertools.product((400, 1153), WINDOWS)]
STFT_SETS += [spectral(n, 300, center=c, pad=p) for n, c, p in itertools.product(
    (512, 1153, 2048), (True, False), ("constant", "reflect"))]
STFT_SETS += [spectral(400, 999, 320, w, c, p) for w, c, p in itertools.product(
    ("hamming", "bartlett"), (True, False), ("constant", "reflect"))]

BAND_SETS = [bands(m, log=log) for m, log in itertools.product((40, 80, 128), (False, True))]
BAND_SETS += [bands(80, htk=True, norm=n, log=log) for n, log in itertools.product((True, False), (False, True))]
BAND_SETS += [bands(64, 50.0, 3500.0), bands(64, 300.0, 0.0, norm=False, log=True), bands(40, 0.0, 3800.0, True, False),
              bands(256), bands(1), bands(128, power=1.0), bands(128, power=1.0, log=True)]
MEL_FRAMES = [spectral(2048, 512), spectral(400, 160, pad="reflect"), spectral(1024, 1500, 800), spectral(1153, 288)]

FRAME_SETS = [(2048, 512), (1024, 256), (400, 160), (255, 64), (17, 40), (1, 1000), (1000, 3001), (65536, 9999)]


def error_of(got, want):
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape or not np.all(np.isfinite(got)) or not np.all(np.isfinite(want)):
        return np.inf
    wide = np.complex128 if np.iscomplexobj(want) else np.float64
    gap, norm = np.linalg.norm((got.astype(wide) - want.astype(wide)).ravel()), np.linalg.norm(want.astype(wide).ravel())
    return 0.0 if gap == 0 else gap / norm if norm > 0 else np.inf


def error_of_worst_frame(got, want):
    if got.shape != want.shape or not np.all(np.isfinite(got)):
        return np.inf
    gap = np.linalg.norm(got.astype(np.complex128) - want, axis=1)
    norm = np.linalg.norm(want.astype(np.complex128), axis=1)
    # Frames of nearly nothing: float32 has no relative precision among its subnormals.
    return float(np.max(np.where(gap <= 1e-40, 0, gap / np.maximum(norm, 1e-300)), initial=0))


class Dump:
    """A twin, in a process that answers one request after the other."""

    def __init__(self, program, isa=None):
        environment = {**os.environ, **({"WAVEMILL_TEST_ISA": isa} if isa else {})}
        self.is_scalar = isa == "scalar"
        self.name = isa or environment.get("WAVEMILL_TEST_ISA", "widest")
        self.process = subprocess.Popen([str(program)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, y, op, s, b=None, rate=22050):
        b = b or bands()
        args = [op, s["n_fft"], s["hop"], int(s["center"]), s["win"], WINDOWS.index(s["window"]),
                int(s["pad"] == "reflect"), b["mels"], rate, b["fmin"], b["fmax"], int(b["htk"]), int(b["norm"]),
                int(b["log"]), b["power"]]
        return self.run(y, args)

    def run(self, y, args):
        y = np.ascontiguousarray(y, np.float32)
        self.process.stdin.write(" ".join(str(a) for a in [y.size, *args]).encode() + b"\n" + y.tobytes())
        self.process.stdin.flush()
        count = int.from_bytes(self.read(8), "little")
        return np.frombuffer(self.read(4 * count), np.float32)

    def read(self, size):
        got = self.process.stdout.read(size)
        if len(got) != size:
            sys.exit(f"the {self.name} twin ended with {self.process.wait()}")
        return got

    def close(self):
        self.process.stdin.close()
        if self.process.wait():
            sys.exit(f"the {self.name} twin ended with {self.process.returncode}")


class Table:
    def __init__(self, verbose):
        self.rows, self.verbose = {}, verbose

    def add(self, op, error, what):
        count, worst, where = self.rows.get(op, (0, -1.0, ""))
        error = np.inf if np.isnan(error) else float(error)
        self.rows[op] = (count + 1, *max((worst, where), (error, what), key=lambda r: r[0]))
        if self.verbose or not error <= LIMITS[op]:
            print(f"{op:14} {error:.1e} {what}")

    def verdict(self, twin):
        good = set(self.rows) == set(LIMITS)
        print(f"{twin + ':':14} {'sets':>5} {'worst':>8} {'limit':>8}")
        for op, (count, worst, where) in self.rows.items():
            good &= worst <= LIMITS[op]
            print(f"{op:14} {count:5} {worst:8.1e} {LIMITS[op]:8.1e}  {where}")
        return good


def librosa_misreflects(y, s):
    """librosa pads the last frames from a cut of the signal. When there is one such frame and it ends exactly where the
    padded signal does, the cut holds n_fft/2 samples and reflects one short: the frame's last sample is wrong."""
    n_fft, hop, half = s["n_fft"], s["hop"], s["n_fft"] // 2
    tail = (len(y) + half - n_fft) // hop + 1
    return s["center"] and s["pad"] == "reflect" and len(y) - (tail * hop - half) <= half


def stft_of(y, s):
    center = s["center"]
    if librosa_misreflects(y, s):
        y, center = np.pad(y, s["n_fft"] // 2, mode="reflect"), False
    return librosa.stft(y, n_fft=s["n_fft"], hop_length=s["hop"], win_length=s["win"] or None, window=s["window"],
                        center=center, pad_mode=s["pad"]).T


def too_short(y, s):
    return s["center"] and s["pad"] == "reflect" and len(y) <= s["n_fft"] // 2


def noise_of(y, s):
    """F * delta / sum of magnitudes of each frame, as kernels/spectral.h defines delta; the scalar twin has none."""
    magnitude = np.abs(stft_of(y, s)).astype(np.float64)
    bins = magnitude.shape[1]
    return 5e-7 * np.sqrt(bins) * np.linalg.norm(magnitude, axis=1) / np.maximum(magnitude.sum(axis=1), 1e-300)


def floor_of(y, s, b, rate):
    """dB below which bands of a float32 transform are noise, per frame, as kernels/mel.h says."""
    weights = librosa.filters.mel(sr=rate, n_fft=s["n_fft"], n_mels=b["mels"], fmin=b["fmin"], fmax=b["fmax"] or None,
                                  htk=b["htk"], norm="slaney" if b["norm"] else None)
    norm = np.linalg.norm(np.abs(stft_of(y, s)).astype(np.float64), axis=1)
    return 10 * np.log10(np.maximum(weights.max() * norm ** b["power"], 1e-10)) - 40 * b["power"]


def check_spectra(twins, name, y, rate):
    for s in STFT_SETS:
        if too_short(y, s):
            continue
        nothing = not s["center"] and len(y) < s["n_fft"]
        want = None if nothing else stft_of(y, s)
        for dump, table in twins:
            got = dump(y, "stft", s, rate=rate)
            if nothing:
                table.add("stft", 0.0 if got.size == 0 else np.inf, f"{name} {s}")
                continue
            got = got.view(np.complex64).reshape(-1, s["n_fft"] // 2 + 1)
            table.add("stft", error_of_worst_frame(got, want), f"{name} {s}")
    for s in MEL_FRAMES + STFT_SETS[:11]:
        want = librosa.feature.spectral_centroid(
            y=y, sr=rate, n_fft=s["n_fft"], hop_length=s["hop"], win_length=s["win"] or None, window=s["window"],
            center=s["center"], pad_mode=s["pad"])[0]
        bound = noise_of(y, s)  # of kernels/centroid.h, with librosa's 1e-5 for its 1e-6
        for dump, table in twins:
            got = dump(y, "centroid", s, rate=rate)
            noise = 0 if dump.is_scalar else bound
            gap = np.abs(got - want) / np.maximum(want + 1e5 * rate / 2 * noise, 1e-30) if got.shape == want.shape else [np.inf]
            table.add("centroid", np.max(gap, initial=0), f"{name} {s}")


def check_bands(twins, name, y, rate):
    for s, b in itertools.product(MEL_FRAMES, BAND_SETS):
        if too_short(y, s):
            continue
        want = librosa.feature.melspectrogram(
            y=y, sr=rate, n_fft=s["n_fft"], hop_length=s["hop"], win_length=s["win"] or None, window=s["window"],
            center=s["center"], pad_mode=s["pad"], power=b["power"], n_mels=b["mels"], fmin=b["fmin"],
            fmax=b["fmax"] or None, htk=b["htk"], norm="slaney" if b["norm"] else None)
        if b["log"]:
            want = librosa.power_to_db(want, ref=1.0, amin=1e-10, top_db=None)
            floor = floor_of(y, s, b, rate)
        for dump, table in twins:
            got, wanted = dump(y, "mel", s, b, rate).reshape(-1, b["mels"]), want
            if b["log"] and not dump.is_scalar:
                got, wanted = np.maximum(got, floor[:, None]), np.maximum(want, floor)
            table.add("log-mel" if b["log"] else "mel", error_of(got, wanted.T), f"{name} {s} {b}")


def check_frames(twins, name, y):
    for (window, hop), center in itertools.product(FRAME_SETS, (True, False)):
        if not center and len(y) < window:
            continue
        s = spectral(window, hop, center=center)
        power = librosa.feature.rms(y=y, frame_length=window, hop_length=hop, center=center)[0]
        crossings = librosa.feature.zero_crossing_rate(y, frame_length=window, hop_length=hop, center=center)[0]
        for dump, table in twins:
            table.add("rms", error_of(dump(y, "rms", s), power), f"{name} {s}")
            table.add("zero_crossing", error_of(dump(y, "zero_crossing", s), crossings), f"{name} {s}")


def check_mixdown(twins, name, x):
    """x is [N][C], as soundfile reads it; librosa.load hands its transposed view to to_mono, or mono as one row."""
    want = np.ascontiguousarray(librosa.to_mono(x.T if x.shape[1] > 1 else x[:, 0])).tobytes()
    for dump, table in twins:
        same = dump.run(x, ["mixdown", x.shape[1]]).tobytes() == want
        table.add("mixdown", 0.0 if same else np.inf, f"{name} {x.shape[1]} channels")


def generated():
    rng = np.random.default_rng(7)
    n = 30000
    ramp = np.arange(n) / 22050
    yield "noise", 0.3 * rng.standard_normal(n)
    yield "sine and silence", np.where(ramp < 0.7, np.sin(2 * np.pi * 997 * ramp), 0)
    yield "very soft", 1e-9 * rng.standard_normal(n)
    yield "offset", 0.9 + 1e-4 * rng.standard_normal(n)
    yield "chirp", np.sin(2 * np.pi * (50 + 5000 * ramp) * ramp)
    yield "short", 0.3 * rng.standard_normal(900)


def audio_files(folders, most):
    """Up to `most` files, spread over what the folders hold."""
    found = sorted(p for f in folders for p in pathlib.Path(f).rglob("*") if p.suffix.lower() in SUFFIXES)
    return found[:: max(1, -(-len(found) // most))] if most else found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", nargs="*", default=[os.environ.get("WAVEMILL_TEST_DATA", "tests/data")])
    parser.add_argument("--dump", default=pathlib.Path(os.environ.get("WAVEMILL_BIN", "bin")).parent / "tests/kernel_dump")
    parser.add_argument("--files", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    twins = [(Dump(args.dump), Table(args.verbose)), (Dump(args.dump, "scalar"), Table(args.verbose))]
    heard = 0
    for name, y in generated():
        y = y.astype(np.float32)
        check_spectra(twins, name, y, 22050)
        check_frames(twins, name, y)
        if name not in ("short",):
            check_bands(twins, name, y, 22050)
    for path in audio_files(args.data, args.files):
        try:
            with soundfile.SoundFile(path) as f:
                x, rate = f.read(int(args.seconds * f.samplerate), "float32", always_2d=True), f.samplerate
        except soundfile.LibsndfileError:
            continue  # a damaged file that other tests want
        if len(x) < 2000 or not np.all(np.isfinite(x)):
            continue
        heard += 1
        y = np.ascontiguousarray(librosa.to_mono(x.T))
        check_mixdown(twins, path.name, x)
        check_spectra(twins, path.name, y, rate)
        check_frames(twins, path.name, y)
        if rate >= 8000:
            check_bands(twins, path.name, y, rate)
    rng = np.random.default_rng(8)
    for channels in (1, 2, 3, 6, 8, 9, 16, 127, 129, 300, 1024):
        check_mixdown(twins, "noise", rng.standard_normal((2000, channels)).astype(np.float32))
        check_mixdown(twins, "negative zeros", np.full((10, channels), -0.0, np.float32))
    good = True
    for dump, table in twins:
        dump.close()
        good &= table.verdict(dump.name)
    print(f"librosa {librosa.__version__}, {heard} files")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
