"""The Python package: librosa's numbers, the command's bytes, and refusals that name the argument.

    test_package.py [CASE...]

Each case runs in a process of its own; prints pass or FAIL for each."""
import doctest
import os
import subprocess
import sys
import tempfile
import threading
import time

DATA = os.environ.get("WAVEMILL_TEST_DATA", "tests/data")
BIN = os.path.abspath(os.environ.get("WAVEMILL_BIN", "build/bin"))


def noise(samples: int, rows: int = 0):
    import numpy as np

    generator = np.random.default_rng(samples)
    shape = (rows, samples) if rows else (samples,)
    return (0.3 * generator.standard_normal(shape)).astype(np.float32)


def error_of(got, want) -> float:
    import numpy as np

    assert got.shape == want.shape, (got.shape, want.shape)
    return float(np.linalg.norm(got.astype(np.complex128) - want) / np.linalg.norm(want))


def librosa_numbers() -> None:
    import librosa
    import numpy as np
    import wavemill

    y = noise(30000)
    limits = []

    def compare(got, want, limit):
        limits.append(error_of(got, want) / limit)
        assert limits[-1] <= 1, (limits[-1], limit)

    for options in ({}, {"n_fft": 1000}, {"n_fft": 512, "hop_length": 100, "window": "hamming", "pad_mode": "reflect"},
                    {"n_fft": 1153, "hop_length": 300, "win_length": 900, "center": False}):
        spectra = wavemill.stft(y, **options)
        assert spectra.flags.f_contiguous
        compare(spectra, librosa.stft(y, **options), 1e-6)
        if options.get("center", True):
            back = {k: v for k, v in options.items() if k != "pad_mode"}
            compare(wavemill.istft(spectra, length=len(y), **back), librosa.istft(spectra, length=len(y), **back), 1e-5)
    for options in ({}, {"n_mels": 40, "fmin": 50, "fmax": 4000, "htk": True, "norm": None}, {"power": 1.0, "n_fft": 1024}):
        compare(wavemill.mel(y, sr=16000, **options), librosa.feature.melspectrogram(y=y, sr=16000, **options), 1e-5)
    compare(wavemill.logmel(y), librosa.power_to_db(librosa.feature.melspectrogram(y=y)), 1e-5)
    compare(wavemill.mfcc(y, n_mfcc=13, lifter=22), librosa.feature.mfcc(y=y, n_mfcc=13, lifter=22), 1e-4)
    tone = np.sin(2 * np.pi * 440 * np.arange(48000) / 48000).astype(np.float32)
    want = librosa.resample(tone, orig_sr=48000, target_sr=44100)
    got = wavemill.resample(tone, orig_sr=48000, target_sr=44100)
    assert got.shape == want.shape and error_of(got[500:-500], want[500:-500]) < 1e-5
    assert wavemill.stft(y[:0]).shape == (1025, 0) and wavemill.mel(y[:1]).shape == (128, 1)


def rows_and_threads() -> None:
    import numpy as np
    import wavemill

    many = noise(5000, 6).reshape(2, 3, 5000)
    for run in (wavemill.mel, wavemill.stft, wavemill.logmel, lambda y: wavemill.mfcc(y, n_mfcc=5),
                lambda y: wavemill.resample(y, orig_sr=3, target_sr=2)):
        whole = run(many)
        assert whole.shape[:2] == (2, 3)
        for i in range(2):
            for k in range(3):
                assert np.array_equal(whole[i, k], run(many[i, k]))
    one = wavemill.mel(many)
    wavemill.set_threads(3)
    assert np.array_equal(one, wavemill.mel(many))
    results = {}

    def work(number: int) -> None:
        results[number] = wavemill.mel(many)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(np.array_equal(r, one) for r in results.values())
    wavemill.set_isa("scalar")
    assert wavemill.get_isa() == "scalar" and error_of(wavemill.mel(many), one) < 1e-6


def equal_bytes_to_the_command() -> None:
    import soundfile
    import wavemill

    path = os.path.join(DATA, "speech_mono_16k.wav")
    y, sr = soundfile.read(path, dtype="float32")
    with tempfile.TemporaryDirectory() as home:
        os.environ["WAVEMILL_HOME"] = home
        for kind, here in (("stft", wavemill.stft(y)), ("mel", wavemill.mel(y, sr=sr)), ("logmel", wavemill.logmel(y, sr=sr)),
                           ("mfcc", wavemill.mfcc(y, sr=sr))):
            there = wavemill.features(path, kind)
            assert there.dtype == here.dtype and there.shape == here.shape and there.tobytes("F") == here.tobytes("F"), kind
        slow = wavemill.features(path, "mel", sr=8000, n_mels=40, hop_length=100, center=False, htk=True, norm=None)
        assert slow.shape[0] == 40
        for options, word in (({"n_fft": 7}, "--n-fft"), ({"nonsense": 1}, "nonsense")):
            refuses(ValueError, word, lambda options=options: wavemill.features(path, "mel", **options))
        refuses(ValueError, "chroma", lambda: wavemill.features(path, "chroma"))
        refuses(wavemill.WavemillError, "missing.wav", lambda: wavemill.features(os.path.join(home, "missing.wav"), "mel"))


def refuses(kind: type, word: str, call) -> None:
    try:
        call()
    except kind as error:
        assert word in str(error), (word, str(error))
    else:
        raise AssertionError(f"nothing was raised about {word}")


def the_queue() -> None:
    """What conformance does not ask: names, tables and times as Python has them, and errors as exceptions."""
    import datetime

    import wavemill

    with tempfile.TemporaryDirectory() as home:
        speech = os.path.join(DATA, "speech_mono_16k.wav")
        try:
            wavemill.Client(home)
        except wavemill.NoScheduler as error:
            assert "wavemill serve" in str(error)
        with wavemill.Client(home, start=True) as client:
            made = client.submit("analyze", [speech, os.fsencode(speech), {"path": "/not/there.wav"}], name="zwölf", priority=-3,
                                 params={"features": ["rms", "zcr"], "statistics": True, "n_fft": 1024})
            assert (made.items, made.known) == (3, False)
            outcomes = {o["index"]: o for o in client.watch(made.job)}
            result = outcomes[0]["result"]
            assert outcomes[0]["path"] == os.path.abspath(os.fsencode(speech)) and result["n_fft"] == 1024 and result["rate_hz"] == 16000
            assert 0 < result["rms"] < result["peak"] <= 1 and [s["name"] for s in result["series"]] == ["rms", "zero_crossing_rate"]
            assert all(len(s["statistics"]) == 10 * 4 * s["values"] for s in result["series"]) and result["warnings"] == []
            assert outcomes[1]["result"]["from_store"] or outcomes[1]["result"]["hash"] == result["hash"]
            assert outcomes[2]["state"] == "dead" and outcomes[2]["failure"] == "INPUT" and outcomes[2]["message"]
            assert [o["index"] for o in client.dead(made.job)] == [2]
            shown = client.show(made.job)
            assert shown["name"] == "zwölf" and shown["state"] == "done" and (shown["done"], shown["dead"]) == (2, 1)
            later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
            waits = client.submit("noop", [None], start_after=later, key="a key of more than sixteen bytes").job
            assert client.show(waits)["start_unix_ms"] == int(1000 * later.timestamp())
            assert client.submit("noop", [None], start_after=later, key="a key of more than sixteen bytes").known
            assert [j["id"] for j in client.jobs()] == [made.job, waits] and [j["id"] for j in client.jobs(states=["queued"])] == [waits]
            assert client.cancel(waits)["state"] == "cancelled" and client.stats()["workers"][0]["device"] == "cpu"
            refuses(ValueError, "sleeps", lambda: client.submit("noop", params={"sleeps": 1}))
            refuses(ValueError, "chroma", lambda: client.submit("chroma", params={"x": 1}))
            refuses(ValueError, "70000", lambda: client.submit("noop", params=b"x" * 70000))
            refuses(ValueError, "asleep", lambda: next(client.jobs(states=["asleep"])))
            for job, call, reason in ((99, client.show, "not_found"), (waits, client.retry, "state")):
                try:
                    call(job)
                except wavemill.Refused as error:
                    assert error.reason == reason, error.reason
                else:
                    raise AssertionError(f"{reason} was not raised")
        refuses(ValueError, "closed", lambda: client.show(1))


def bad_arguments() -> None:
    import numpy as np
    import wavemill

    y = noise(4000)
    for run in (wavemill.stft, wavemill.mel, wavemill.logmel, wavemill.mfcc,
                lambda a: wavemill.resample(a, orig_sr=2, target_sr=1)):
        refuses(TypeError, "y: dtype float64", lambda run=run: run(y.astype(np.float64)))
        refuses(TypeError, "y: list", lambda run=run: run([1.0, 2.0]))
        refuses(ValueError, "y: strided", lambda run=run: run(y[::2]))
        refuses(ValueError, "y: no dimension", lambda run=run: run(np.zeros((), np.float32)))
        run(np.frombuffer(y.tobytes(), np.float32))  # read-only: it is only read
    for options, word in (({"n_fft": 0}, "n_fft"), ({"hop_length": 0}, "hop_length"), ({"n_fft": 65537}, "65537"),
                          ({"win_length": 4096}, "win_length"), ({"window": "what"}, "window"), ({"pad_mode": "edge"}, "pad_mode")):
        refuses(ValueError, word, lambda options=options: wavemill.stft(y, **options))
    for options, word in (({"fmin": 5000.0, "fmax": 100.0}, "rising"), ({"fmax": 1e6}, "rate/2"), ({"n_mels": 0}, "n_mels"),
                          ({"norm": 1}, "norm"), ({"power": 0.0}, "power"), ({"sr": -1.0}, "rate"), ({"sr": float("nan")}, "rate")):
        refuses(ValueError, word, lambda options=options: wavemill.mel(y, **options))
    refuses(ValueError, "n_mfcc", lambda: wavemill.mfcc(y, n_mfcc=129))
    refuses(ValueError, "1:1000", lambda: wavemill.resample(y, orig_sr=1, target_sr=1000000))
    refuses(ValueError, "orig_sr", lambda: wavemill.resample(y, orig_sr=0, target_sr=8000))
    refuses(ValueError, "reflection", lambda: wavemill.stft(y[:100], pad_mode="reflect"))
    refuses(TypeError, "stft_matrix", lambda: wavemill.istft(y))
    refuses(ValueError, "stft_matrix: strided", lambda: wavemill.istft(np.ascontiguousarray(wavemill.stft(y))))
    refuses(ValueError, "n_fft", lambda: wavemill.istft(wavemill.stft(y), n_fft=100))
    out = np.empty((8, 128), np.float32).T
    assert wavemill.mel(y, out=out) is not None and np.array_equal(out, wavemill.mel(y))
    refuses(ValueError, "out: shape", lambda: wavemill.mel(y, out=out[:, :3]))
    refuses(ValueError, "out: strided", lambda: wavemill.mel(y, out=np.empty((128, 8), np.float32)))
    refuses(TypeError, "out: float64", lambda: wavemill.mel(y, out=np.empty((8, 128)).T))
    out.flags.writeable = False
    refuses(ValueError, "out: read-only", lambda: wavemill.mel(y, out=out))
    nan = y.copy()
    nan[2000] = np.nan
    frames = np.isnan(wavemill.mel(nan)).any(axis=0)
    assert frames.any() and not frames.all() and np.isnan(wavemill.mel(nan)[:, frames]).all()
    refuses(ValueError, "threads", lambda: wavemill.set_threads(0))
    refuses(ValueError, "isa", lambda: wavemill.set_isa("neon"))


def documentation() -> None:
    import numpy as np
    import wavemill

    result = doctest.testmod(wavemill, extraglobs={"np": np, "wavemill": wavemill})
    assert result.attempted >= 11 and result.failed == 0, result


def door() -> None:
    """What Python adds to the C call, for 1 s: printed, not judged."""
    import numpy as np
    import wavemill
    from wavemill import _library

    y, out = noise(22050), np.empty((44, 128), np.float32)
    plan = wavemill._bands(22050, 2048, 512, None, "hann", True, "constant", 2.0, 128, 0.0, None, False, "slaney", False, None)
    call, handle = _library.library.wavemill_mel, _library.engine.get()
    places = plan.address, _library.address(y), _library.address(out)

    def median(run) -> float:
        times = []
        for _ in range(1000):
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
        return sorted(times)[len(times) // 2]

    inner, outer = median(lambda: call(handle, places[0], places[1], 1, 22050, places[2])), median(lambda: wavemill.mel(y))
    assert np.array_equal(out.T, wavemill.mel(y))
    print(f"    wavemill.mel of 1 s: {1e6 * outer:.1f} us, the C call {1e6 * inner:.1f} us: {outer / inner:.2f}x")


CASES = [librosa_numbers, rows_and_threads, equal_bytes_to_the_command, the_queue, bad_arguments, documentation, door]


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] == "--one":
        {c.__name__: c for c in CASES}[sys.argv[2]]()
        return
    environment = {**os.environ, "PATH": BIN + ":" + os.environ["PATH"]}
    if os.environ.get("WAVEMILL_PRELOAD"):
        environment.update(LD_PRELOAD=os.environ["WAVEMILL_PRELOAD"], ASAN_OPTIONS="detect_leaks=0")
    failed = 0
    for case in CASES:
        if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
            continue
        began = time.monotonic()
        status = subprocess.run([sys.executable, __file__, "--one", case.__name__], env=environment, check=False).returncode
        print(f"{'FAIL' if status else 'pass'} {case.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        failed += status != 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
