"""`wavemill features` against librosa 0.11, through the whole way: command, queue, worker, store, .npy file.

    test_features.py [--data DIR] [--files N]

Each case is one file and one parameter set; the file is decoded by soundfile on the other side. Fails above relative L2
1e-6 (stft), 1e-5 (mel, logmel, centroid, rms, zcr); prints the worst of each kind. Every array is asked for twice: the second
comes from the store (but for stft) and must be equal to the last bit."""
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
LIMITS = {"stft": 1e-6, "magnitude": 1e-6, "mel": 1e-5, "logmel": 1e-5, "mfcc": 1e-4, "centroid": 1e-5, "bandwidth": 1e-4,
          "rolloff": 1e-2, "flatness": 1e-3, "contrast": 2e-2, "poly": 1e-5, "flux": 1e-5, "rms": 1e-5, "zcr": 1e-5}
# float32 transforms have noise 140 dB below a frame's energy (kernels/spectral.h): what is measured on nearly empty bins
# has it in it. The scalar twin, in double, has not. rolloff: part of the frames that may be one bin off.
SCALAR_LIMITS = {"bandwidth": 1e-6, "rolloff": 5e-3, "flatness": 1e-5, "contrast": 1e-5, "logmel": 1e-5}
SPECTRA = ("stft", "magnitude")  # written, and not stored
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
            for path in paths[: arguments.files]:
                try:
                    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
                except (soundfile.LibsndfileError, ValueError):  # unreadable, or of unknown length
                    continue
                y = librosa.to_mono(samples.T)
                for kind, options, same in CASES:
                    if kind == "stft" and len(y) <= 2100 and ("--no-center" in options or "reflect" in options):
                        continue  # too short for librosa
                    if same.get("fmax", 0) > rate / 2:
                        continue
                    if kind == "contrast" and (rate / 2 <= same.get("fmin", 200) * 2 ** (same.get("n_bands", 6) - 1)
                                               or ("scalar" in options and path.endswith((".ogg", ".mp3")))):
                        continue  # librosa refuses; the empty bins of lossy files hold the noise of the decoder's release
                    want = reference(kind, y, rate, same)
                    got, _ = features(path, kind, options, out)
                    scalar = "scalar" in options
                    if same.get("top_db", 80.0) is None and not scalar:  # float32 transforms have noise far below: librosa's top_db for both
                        got, want = (np.maximum(a, want.max() - 80) for a in (got, want))
                        got = np.asfortranarray(got)
                    again, stored = features(path, kind, options, out)
                    error = float("inf")
                    dtype = np.complex64 if kind == "stft" else np.float32
                    if got.shape == want.shape and got.dtype == dtype and got.flags.f_contiguous:
                        difference = np.linalg.norm(got.astype(np.complex128) - want)
                        error = float(difference / max(float(np.linalg.norm(want)), 1e-30)) if difference else 0.0
                    if kind == "rolloff" and got.shape == want.shape:
                        bins_off = np.rint(np.abs(got - want) * 2048 / rate)
                        error = float(np.mean(bins_off == 1)) if bins_off.max() <= 1 else float("inf")
                    limits = SCALAR_LIMITS if scalar else LIMITS
                    good = error <= limits[kind] and (np.array_equal(got, again) or "none" in options)
                    good = good and stored == (kind not in SPECTRA and not scalar)
                    name = kind + " (scalar)" * scalar
                    worst[name] = (max(worst.get(name, (0.0, 0))[0], error), limits[kind])
                    passed += good
                    failed += not good
                    if not good:
                        print(f"FAIL {os.path.basename(path)} {kind} {options}: relative L2 {error:.2e}, shapes {got.shape} "
                              f"{want.shape}, stored {stored}", flush=True)
        finally:
            server.terminate()
            server.wait()
    for kind, (error, limit) in worst.items():
        print(f"{kind:18s} worst {error:.2e}, limit {limit:.0e}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0 or passed == 0)


if __name__ == "__main__":
    main()
