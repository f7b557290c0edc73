"""libwavemill as an installed library: a C program is compiled with pkg-config against a moved prefix, and run."""
import os
import subprocess
import sys
import tempfile
import time

BIN = os.environ["WAVEMILL_BIN"]
DATA = os.environ["WAVEMILL_TEST_DATA"]
HERE = os.path.dirname(os.path.abspath(__file__))
FILES = ["music_stereo_44k.mp3", "speech_mono_8k.wav", "drums_tabla_stereo_44k.flac"]


def run(arguments: list[str], **options) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"FAIL {' '.join(arguments[:4])}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, moved = os.path.join(folder, "first"), os.path.join(folder, "moved")
        run(["cmake", "--install", os.path.dirname(BIN), "--prefix", first])
        os.rename(first, moved)
        found = [r for r, _, names in os.walk(moved) if "wavemill.pc" in names]
        environment = {**os.environ, "PKG_CONFIG_PATH": found[0]}
        flags = run(["pkg-config", "--cflags", "--libs", "wavemill"], env=environment).split()
        sanitize = ["-fsanitize=address,undefined"] if b"__asan_init" in open(os.path.join(moved, "bin", "wavemill"), "rb").read() else []
        program = os.path.join(folder, "loudest")
        run(["cc", "-std=gnu17", "-Wall", "-Wextra", "-Werror", os.path.join(HERE, "loudest.c"), "-o", program, *sanitize, *flags,
             f"-Wl,-rpath,{os.path.dirname(found[0])}"])
        environment |= {"WAVEMILL_HOME": os.path.join(folder, "home"), "ASAN_OPTIONS": "detect_leaks=1"}
        out = run([program, os.path.join(moved, "bin", "wavemill"), *[os.path.join(DATA, f) for f in FILES]], env=environment)
        name, rms = out.split()
        if os.path.basename(name) != FILES[0] or not 0.1 < float(rms) < 0.5:
            sys.exit(f"FAIL loudest says {out}")
        program = os.path.join(folder, "roundtrip")
        run(["cc", "-std=gnu17", "-Wall", "-Wextra", "-Werror", os.path.join(HERE, "roundtrip.c"), "-o", program, *sanitize, *flags,
             "-lm", f"-Wl,-rpath,{os.path.dirname(found[0])}"])
        error, hz, samples, isa = run([program], env=environment).split()
        if float(error) > 1e-5 or hz != "1001" or samples != "8000" or isa not in ("scalar", "avx2", "avx512"):
            sys.exit(f"FAIL roundtrip says {error} {hz} {samples} {isa}")
        time.sleep(1.5)  # the scheduler ends with its last client
    print("pass a C program links libwavemill from a moved prefix and gets its answers")
    print("pass another computes in its own process")
    print("2 passed, 0 failed")


if __name__ == "__main__":
    main()
