"""Finds what CUDA code is compiled with, where a machine may lack cmake: by the rules of cmake/cuda_toolkit.cmake, and
where no toolkit is whole, put together from an nvcc and the wheels that Python packages bring (cuFFT beside torch)."""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import typing

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
OLDEST = (12, 4)
running, ending = set(), False  # programs of now; no more of them
MACHINES = ("", "/targets/x86_64-linux", "/targets/sbsa-linux")
# Asked in a process of its own: a driver that hangs or dies must not take the check with it.
PROBE = """
import ctypes, json
out = {"devices": [], "why": ""}
try:
    cuda = ctypes.CDLL("libcuda.so.1")
    code, n, version = cuda.cuInit(0), ctypes.c_int(), ctypes.c_int()
    code = code or cuda.cuDeviceGetCount(ctypes.byref(n)) or cuda.cuDriverGetVersion(ctypes.byref(version))
    for i in range(0 if code else n.value):
        name, device, major, minor = ctypes.create_string_buffer(256), ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        code = (cuda.cuDeviceGet(ctypes.byref(device), i) or cuda.cuDeviceGetName(name, 256, device)
                or cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device)
                or cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device))
        if not code:
            out["devices"].append({"name": name.value.decode(), "capability": [major.value, minor.value],
                                   "driver": version.value})
    out["why"] = f"the driver answers with error {code}" if code else "the driver shows no GPU"
except OSError as e:
    out["why"] = f"no NVIDIA driver: {e}"
print(json.dumps(out))
"""


class Toolkit(typing.NamedTuple):
    nvcc: str
    version: str
    includes: list  # beside nvcc's own
    cufft: str
    cudart: str


def end(process) -> None:
    """Ends a program with all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def end_all() -> None:
    """For a signal: programs have sessions of their own, and would go on."""
    global ending
    ending = True
    for process in list(running):
        end(process)


def run(command: list, timeout: float, **more) -> tuple[int, str]:
    """Exit status and all output; 124 when it takes too long, 127 when it cannot start. Its children end with it."""
    if ending:
        return 130, "interrupted"
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, errors="replace", start_new_session=True, **more)
    except OSError as e:
        return 127, f"{command[0]}: {e.strerror}"
    running.add(process)
    try:
        said, _ = process.communicate(timeout=max(timeout, 0.1))
        return process.returncode, said
    except subprocess.TimeoutExpired:
        end(process)
        said, _ = process.communicate()
        return 124, f"{said}\ntook over {timeout:.0f} s"
    finally:
        running.discard(process)


def probe() -> tuple[dict, str]:
    """The first GPU (name, capability, driver), or an empty dict and why there is none."""
    status, said = run([sys.executable, "-c", PROBE], 60)
    try:
        answer = json.loads(said.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {}, f"asking the driver ended with {status}: {said.strip()[-300:]}"
    return (answer["devices"] or [{}])[0], answer["why"]


def target_of(capability: list) -> str:
    """sm_90a for the generation whose own instructions kernels may use, plain targets for others."""
    number = 10 * capability[0] + capability[1]
    return f"sm_{number}a" if number == 90 else f"sm_{number}"


def site_packages() -> list:
    """Folders of Python packages that may hold nvidia/: of this Python, of the one on the PATH, of .deps."""
    folders = list(sys.path)
    python = shutil.which("python3")
    if python and os.path.realpath(python) != os.path.realpath(sys.executable):
        status, said = run([python, "-c", "import sys; print('\\n'.join(sys.path))"], 20)
        folders += said.splitlines() if status == 0 else []
    folders += sorted(glob.glob(os.path.join(ROOT, ".deps", "*", "lib", "python3*", "site-packages")))
    return list(dict.fromkeys(f for f in folders if f and os.path.isdir(os.path.join(f, "nvidia"))))


def wheel_roots() -> list:
    """nvidia/cu13 with everything of CUDA 13, nvidia/cufft and its like of CUDA 12."""
    return [r for f in site_packages() for r in sorted(glob.glob(os.path.join(f, "nvidia", "*"))) if os.path.isdir(r)]


def candidates() -> list:
    """nvccs, in the order of cmake/cuda.cmake, then those of the wheels."""
    named = [os.path.join(os.environ["CUDA_HOME"], "bin", "nvcc")] if os.environ.get("CUDA_HOME") else []
    if os.environ.get("CUDACXX"):
        named.append(os.path.join(os.path.dirname(os.environ["CUDACXX"]), "nvcc"))
    named += [shutil.which("nvcc") or "", "/usr/local/cuda/bin/nvcc", os.path.join(ROOT, ".deps/cuda/bin/nvcc")]
    named += sorted(glob.glob("/usr/local/cuda-*/bin/nvcc"), reverse=True)
    named += [os.path.join(r, "bin", "nvcc") for r in wheel_roots()]
    return list(dict.fromkeys(os.path.abspath(n) for n in named if n and os.access(n, os.X_OK)))


def find_file(roots: list, folders: list, pattern: str) -> str:
    for root in roots:
        for folder in folders:
            for machine in MACHINES:
                found = sorted(glob.glob(os.path.join(root + machine, folder, pattern)))
                if found:
                    return found[0]
    return ""


def root_of(nvcc: str) -> list:
    """nvcc may be a wrapper elsewhere; the one behind it tells its own folder."""
    _, said = run([nvcc, "--dryrun", "-E", "-x", "cu", "/dev/null"], 30)
    top = re.search(r"TOP=(\S*)", said)
    return ([os.path.normpath(top[1])] if top else []) + [os.path.normpath(os.path.join(os.path.dirname(nvcc), ".."))]


def major_of_cufft(header: str) -> int:
    """11 belongs to CUDA 12, 12 to CUDA 13."""
    with open(header, encoding="utf-8", errors="replace") as stream:
        found = re.search(r"#define\s+CUFFT_VER_MAJOR\s+(\d+)", stream.read())
    return int(found[1]) if found else 0


def look_at(nvcc: str, wheels: list) -> tuple[typing.Optional[Toolkit], str]:
    """The toolkit around that nvcc, with cuFFT of the wheels where its own folder has none; or what it lacks."""
    libraries = ["lib64", "lib", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu"]
    status, said = run([nvcc, "--version"], 30)
    release = re.search(r"release (\d+)\.(\d+)", said)
    if status or not release:
        return None, f"{nvcc} does not run"
    version = (int(release[1]), int(release[2]))
    if version < OLDEST:
        return None, f"{nvcc} is {version[0]}.{version[1]}, older than {OLDEST[0]}.{OLDEST[1]}"
    own = root_of(nvcc)
    header, cufft = "", ""
    for root in own + wheels:  # header and library from one place
        header = find_file([root], ["include"], "cufft.h")
        cufft = find_file([root], libraries, "libcufft.so") or find_file([root], libraries, "libcufft.so.*")
        if header and cufft and major_of_cufft(header) == version[0] - 1:
            break
        header, cufft = "", ""
    cudart = find_file(own, libraries, "libcudart_static.a") or find_file(own + wheels, libraries,
                                                                         f"libcudart.so.{version[0]}")
    lacks = [what for what, found in (("cuFFT", cufft), ("the CUDA runtime's library", cudart)) if not found]
    if lacks:
        return None, f"{nvcc} {version[0]}.{version[1]} lacks {' and '.join(lacks)}"
    includes = [] if any(header.startswith(r + os.sep) for r in own) else [os.path.dirname(header)]
    return Toolkit(nvcc, f"{version[0]}.{version[1]}", includes, cufft, cudart), ""


def find() -> tuple[typing.Optional[Toolkit], list]:
    """The first whole one, or why each candidate is none."""
    refused, wheels = [], wheel_roots()
    for nvcc in candidates():
        toolkit, why = look_at(nvcc, wheels)
        if toolkit:
            return toolkit, refused
        refused.append(why)
    return None, refused or ["no nvcc on the PATH, in /usr/local/cuda, in .deps/cuda or in Python's packages"]


def cufft_headers(toolkit: Toolkit, folder: str) -> list:
    """Include folders for cuFFT. From a wheel only its own headers: the rest there may be of another release."""
    if not toolkit.includes:
        return []
    os.makedirs(folder, exist_ok=True)
    for name in glob.glob(os.path.join(toolkit.includes[0], "cufft*.h")) + glob.glob(
            os.path.join(toolkit.includes[0], "cudalibxt.h")):
        shutil.copy(name, folder)
    return [folder]


def find_sanitizer(nvcc: str) -> str:
    """compute-sanitizer beside nvcc, on the PATH or in the usual folder; "" where there is none."""
    roots = (root_of(nvcc) if nvcc else []) + ["/usr/local/cuda"] + wheel_roots()
    for root in roots:
        for name in ("bin/compute-sanitizer", "compute-sanitizer/compute-sanitizer"):
            if os.access(os.path.join(root, name), os.X_OK):
                return os.path.join(root, name)
    return shutil.which("compute-sanitizer") or ""
