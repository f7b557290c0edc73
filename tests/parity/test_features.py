"""`wavemill features` against librosa 0.11, through the whole way: command, queue, worker, store, .npy file.

    test_features.py [--data DIR] [--files N]

Each case is one file and one parameter set; the file is decoded by soundfile on the other side. Prints the worst error of
each kind beside its limit: relative L2, but for bandwidth and rolloff, which are judged frame by frame against the bounds
that their headers in kernels/ state. Every array is asked for twice: the second comes from the store (but for spectra and
--force) and must be equal to the last bit.

librosa computes from float32 samples as a user has it, where that is precise enough to judge by: it rounds to float32 on
the way, and its rolloff sums up 1025 magnitudes in float32 (sum off by 1e-6: another bin). So the scalar twin, bandwidth
and rolloff are held against librosa on the same samples as float64.

The scalar twin gets lossy files as soundfile decoded them, in a WAV file of floats: releases of a decoder differ in the
last bits of the samples, which the nearly empty bins above the codec's cutoff show at 1e-5 to 1e-4 of flatness and dB."""
import argparse
import glob
import os
import subprocess
import sys
import tempfile
import warnings

import librosa
import numpy as np
import soundfile

BIN = os.path.join(os.environ.get("WAVEMILL_BIN", "build/bin"), "wavemill")
# float32 transforms have noise 140 dB below a frame's energy (kernels/spectral.h): what is measured on nearly empty bins
# has it in it. The scalar twin, in double, has not.
#   bandwidth  worst frame's error of y^2 over the bound of kernels/bandwidth.h; the scalar twin, which has none of the
#              noise in that bound: relative L2, half of the 2e-6 of y^2 that is left
#   rolloff    frames off librosa's bin, but for those that kernels/rolloff.h allows: one bin, where the sum lies within
#              2e-6 of the threshold; scalar the same
LIMITS = {"stft": 1e-6, "magnitude": 1e-6, "mel": 1e-5, "logmel": 1e-5, "mfcc": 1e-4, "centroid": 1e-5, "bandwidth": 1,
          "rolloff": 0, "flatness": 1e-3, "contrast": 2e-2, "poly": 1e-5, "flux": 1e-5, "rms": 1e-5, "zcr": 1e-5}
SCALAR_LIMITS = {"bandwidth": 1e-6, "rolloff": 0, "flatness": 1e-5, "contrast": 1e-5, "logmel": 1e-6}
SPECTRA = ("stft", "magnitude")  # written, and not stored
LOSSY = (".ogg", ".mp3")
ENDINGS = (".wav", ".flac", ".ogg", ".aiff", ".mp3")

# kind, options of the command, how librosa says the same
CASES = [
    ("stft", [], {}),
    ("stft", ["--n-fft", "512", "--hop", "100"], {"n_fft": 512, "hop_length": 100}),
    ("stft", ["--n-fft", "1153", "--hop", "331"], {"n_fft": 1153, "hop_length": 331}),
    ("stft", ["--n-fft", "4096", "--win-length", "2000", "--window", "hamming", "--pad", "reflect"],
     {"n_fft": 4096, "win_length": 2000, "window": "hamming", "pad_mode": "reflect", "hop_length": 512}),
    ("stft", ["--n-fft", "1000", "--hop", "1500", "--window", "blackman", "--no-center"],
     {"n_fft": 1000, "hop_length": 1500, "window": "blackman", "center": False}),
    ("mel", [], {}),
    ("mel", ["--n-mels", "40", "--fmin", "50", "--fmax", "4000", "--htk", "--no-norm"],
     {"n_mels": 40, "fmin": 50, "fmax": 4000, "htk": True, "norm": None}),
    ("logmel", [], {}),
    ("logmel", ["--top-db", "none", "--n-mels", "64", "--n-fft", "1024", "--hop", "256"],
     {"n_mels": 64, "n_fft": 1024, "hop_length": 256, "top_db": None}),
    ("centroid", [], {}),
    ("rms", ["--n-fft", "1024", "--hop", "300"], {"frame_length": 1024, "hop_length": 300}),
    ("zcr", [], {}),
    ("magnitude", ["--n-fft", "1024"], {"n_fft": 1024, "hop_length": 512}),
    ("mfcc", [], {}),
    ("mfcc", ["--n-mfcc", "13", "--lifter", "22", "--n-mels", "40", "--htk"],
     {"n_mfcc": 13, "lifter": 22, "n_mels": 40, "htk": True}),
    ("bandwidth", [], {}),
    ("rolloff", ["--roll-percent", "0.9"], {"roll_percent": 0.9}),
    ("flatness", [], {}),
    ("contrast", ["--fmin", "100", "--n-bands", "4"], {"fmin": 100, "n_bands": 4}),
    ("poly", ["--order", "2"], {"order": 2}),
    ("flux", [], {}),
    ("bandwidth", ["--isa", "scalar", "--force"], {}),
    ("rolloff", ["--isa", "scalar", "--force"], {}),
    ("flatness", ["--isa", "scalar", "--force"], {}),
    ("contrast", ["--isa", "scalar", "--force"], {}),
    ("logmel", ["--isa", "scalar", "--force", "--top-db", "none"], {"top_db": None}),
]


def reference(kind: str, y: np.ndarray, rate: int, options: dict) -> np.ndarray:
    options = dict(options)
    if kind == "stft":
        options.setdefault("n_fft", 2048)
        options.setdefault("hop_length", 512)
        return librosa.stft(y, **options)
    if kind == "mel":
        return librosa.feature.melspectrogram(y=y, sr=rate, **options)
    if kind == "logmel":
        top_db = options.pop("top_db", 80.0)
        return librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=rate, **options), top_db=top_db)
    if kind == "centroid":
        return librosa.feature.spectral_centroid(y=y, sr=rate, **options)
    if kind == "magnitude":
        return np.abs(librosa.stft(y, **options))
    if kind == "mfcc":
        return librosa.feature.mfcc(y=y, sr=rate, **options)
    if kind == "bandwidth":
        return librosa.feature.spectral_bandwidth(y=y, sr=rate, **options)
    if kind == "rolloff":
        return librosa.feature.spectral_rolloff(y=y, sr=rate, **options)
    if kind == "flatness":
        return librosa.feature.spectral_flatness(y=y, **options)
    if kind == "contrast":
        return librosa.feature.spectral_contrast(y=y, sr=rate, **options)
    if kind == "poly":
        return librosa.feature.poly_features(y=y, sr=rate, **options)
    if kind == "flux":
        spectrum = np.abs(librosa.stft(y))
        change = np.sqrt(np.sum(np.diff(spectrum, axis=1) ** 2, axis=0))
        return np.concatenate([np.zeros(1, np.float32), change])[np.newaxis]
    if kind == "rms":
        return librosa.feature.rms(y=y, **options)
    return librosa.feature.zero_crossing_rate(y, **options)


def relative_l2(got: np.ndarray, want: np.ndarray) -> float:
    difference = np.linalg.norm(got.astype(np.complex128) - want)
    return float(difference / max(float(np.linalg.norm(want)), 1e-30)) if difference else 0.0


def bandwidth_error(got: np.ndarray, want: np.ndarray, y: np.ndarray, rate: int) -> float:
    """The worst frame's, 1 being all that kernels/bandwidth.h allows."""
    spectrum = np.abs(librosa.stft(y))
    noise = 5e-7 * np.linalg.norm(spectrum, axis=0) * np.sqrt(len(spectrum))  # F * delta
    bound = 2e-6 * want**2 + (rate / 2) ** 2 * noise / np.maximum(spectrum.sum(axis=0), np.finfo(np.float32).tiny)
    return float(np.max(np.abs(got.astype(np.float64) ** 2 - want**2) / np.maximum(bound, 1e-30)))


def rolloff_error(got: np.ndarray, want: np.ndarray, y: np.ndarray, rate: int, part: float) -> float:
    """Frames that differ by more than kernels/rolloff.h allows."""
    ours, theirs = (np.rint(a[0].astype(np.float64) * 2048 / rate).astype(int) for a in (got, want))
    frames = np.flatnonzero(ours != theirs)
    if not len(frames):
        return 0.0
    below = np.cumsum(np.abs(librosa.stft(y)), axis=0)
    between = below[np.minimum(ours, theirs)[frames], frames] / below[-1, frames]  # the sum that one of them found enough
    allowed = (np.abs(ours - theirs)[frames] == 1) & (np.abs(between / part - 1) <= 2e-6)
    return float(np.sum(~allowed))


def features(path: str, kind: str, options: list[str], out: str) -> tuple[np.ndarray, bool]:
    done = subprocess.run([BIN, "features", path, "--kind", kind, "--out", out, *options], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        sys.exit(f"FAIL {kind} {path}: exit {done.returncode}: {done.stderr}")
    return np.load(out), "from the store" in done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("WAVEMILL_TEST_DATA", "tests/data"))
    parser.add_argument("--files", type=int, default=1000)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    paths = sorted(p for p in glob.glob(os.path.join(arguments.data, "**", "*"), recursive=True) if p.endswith(ENDINGS))
    worst = {}
    passed = failed = 0
    with tempfile.TemporaryDirectory() as home:
        os.environ["WAVEMILL_HOME"] = home
        server = subprocess.Popen([BIN, "serve"], stderr=subprocess.DEVNULL)
        try:
            out = os.path.join(home, "x.npy")
            for path in paths[:: -(-len(paths) // arguments.files)]:  # spread over what there is
                try:
                    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
                except (soundfile.LibsndfileError, ValueError):  # unreadable, or of unknown length
                    continue
                y = librosa.to_mono(samples.T)
                exact = path
                if path.endswith(LOSSY):
                    exact = os.path.join(home, "decoded.wav")
                    soundfile.write(exact, y, rate, subtype="FLOAT")
                for kind, options, same in CASES:
                    if kind == "stft" and len(y) <= 2100 and ("--no-center" in options or "reflect" in options):
                        continue  # too short for librosa
                    if same.get("fmax", 0) > rate / 2:
                        continue
                    if kind == "contrast" and rate / 2 <= same.get("fmin", 200) * 2 ** (same.get("n_bands", 6) - 1):
                        continue  # librosa refuses
                    scalar = "scalar" in options
                    source = exact if scalar else path
                    fine = y.astype(np.float64) if scalar or kind in ("bandwidth", "rolloff") else y
                    want = reference(kind, fine, rate, same)
                    got, _ = features(source, kind, options, out)
                    again, stored = features(source, kind, options, out)
                    equal = np.array_equal(got, again)
                    if same.get("top_db", 80.0) is None and not scalar:
                        # float32 transforms have noise far below: librosa's top_db for both
                        got, want = (np.maximum(a, want.max() - 80) for a in (got, want))
                        got = np.asfortranarray(got)
                    error = float("inf")
                    dtype = np.complex64 if kind == "stft" else np.float32
                    if got.shape == want.shape and got.dtype == dtype and got.flags.f_contiguous:
                        if kind == "rolloff":
                            error = rolloff_error(got, want, fine, rate, same.get("roll_percent", 0.85))
                        elif kind == "bandwidth" and not scalar:
                            error = bandwidth_error(got, want, fine, rate)
                        else:
                            error = relative_l2(got, want)
                    limits = SCALAR_LIMITS if scalar else LIMITS
                    good = error <= limits[kind] and equal and stored == (kind not in SPECTRA and not scalar)
                    name = kind + " (scalar)" * scalar
                    worst[name] = (max(worst.get(name, (0.0, 0))[0], error), limits[kind])
                    passed += good
                    failed += not good
                    if not good:
                        print(f"FAIL {os.path.basename(path)} {kind} {options}: error {error:.2e}, shapes {got.shape} "
                              f"{want.shape}, stored {stored}, equal again {equal}", flush=True)
        finally:
            server.terminate()
            server.wait()
    for kind, (error, limit) in worst.items():
        print(f"{kind:18s} worst {error:.2e}, limit {limit:.0e}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0 or passed == 0)


if __name__ == "__main__":
    main()
