"""Compiles and links what tools/gpu-check runs, with plain compiler calls: no cmake, none of the libraries that the
rest of Wavemill needs. Which files the module and the tests are made of is read from the CMakeLists, so that there is
one list of each."""
import concurrent.futures
import os
import platform
import re
import time
import typing

from toolkit import ROOT, Toolkit, cufft_headers, run

STEP_SECONDS = 240


class Build(typing.NamedTuple):
    """What is made, and how long everything may take."""
    folder: str
    toolkit: typing.Optional[Toolkit]  # None: the emulator instead
    target: str
    jobs: int
    ends: float  # time.monotonic()


class DeviceTest(typing.NamedTuple):
    name: str
    program: str  # test_NAME of tests/kernels
    environment: dict


def read(name: str) -> str:
    with open(os.path.join(ROOT, name), encoding="utf-8") as stream:
        return re.sub(r"#[^\n]*", "", stream.read())


def cmake_list(name: str, pattern: str) -> list:
    """The words that the pattern's first group finds in a CMake file; it is a mistake of ours when there are none."""
    found = re.search(pattern, read(name), re.S)
    if not found or not found[1].split():
        raise SystemExit(f"gpu-check: {name} has nothing like {pattern}: tools/gpu/build.py no longer fits it")
    return found[1].split()


def sources(folder: str, names: list) -> list:
    return [os.path.normpath(os.path.join(folder, n)) for n in names]


def device_sources() -> tuple[list, list]:
    """.cu files and host files of the module."""
    return (sources("kernels", cmake_list("kernels/CMakeLists.txt", r"set\(cuda\s+([^)]*)\)")),
            sources("kernels", cmake_list("kernels/CMakeLists.txt", r"set\(cuda_host\s+([^)]*)\)")))


def host_sources() -> list:
    """Rooms that the programs are linked with: base, and kernels without their vector twins."""
    base = cmake_list("runtime/CMakeLists.txt", r"wavemill_room\(base SOURCES\s+(.*?)DEPENDS")
    kernels = cmake_list("kernels/CMakeLists.txt", r"wavemill_room\(kernels\s+SOURCES\s+(.*?)DEPENDS")
    return sources("runtime", base) + sources("kernels", kernels)


def network_sources() -> list:
    """Of models/, what a network made in memory needs: neither files nor JSON."""
    return sources("models", ["separation.c", "demucs_bag.c", "demucs_split.c", "htdemucs_load.c", "htdemucs_room.c",
                              "htdemucs_run.c", "htdemucs_flight.c", "htdemucs_shape.c", "safetensors_floats.c"])


def vector_twins() -> dict:
    """Instruction set -> flags of the kernels' vector twins; none on other processors."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return {}
    name = "kernels/CMakeLists.txt"
    return {isa: cmake_list(name, rf"target_compile_options\(wavemill_kernels_{isa} PRIVATE\s+([^)]*)\)")
            + [f"-DSIMD_{isa.upper()}", "-O2", "-ffp-contract=fast"] for isa in ("avx2", "avx512")}


def device_tests() -> list:
    """What tests/kernels lists as run on the emulator: each test of what has a CUDA twin, with its environment."""
    text, tests = read("tests/kernels/CMakeLists.txt"), []
    for name, program, more in re.findall(r"^emulated_test\((\w+) (?:kernels_)?(\w+)([^)]*)\)", text, re.M):
        words = [w.split("=", 1) for w in more.strip().strip('"').split(";") if "=" in w]
        tests.append(DeviceTest(name, program, dict(words)))
    if not tests:
        raise SystemExit("gpu-check: tests/kernels/CMakeLists.txt lists no emulated_test(...)")
    return tests


def nvcc_flags(target: str) -> list:
    """Those of cmake/cuda.cmake that make code. Warnings are for the build that has them as errors."""
    words = cmake_list("cmake/cuda.cmake", r"set\(WAVEMILL_NVCC_FLAGS \$\{WAVEMILL_CUDA_GENCODE\}\s+([^)]*)\)")
    flags, i = [], 0
    while i < len(words):
        if words[i] in ("-Werror", "-Xptxas"):
            i += 2
        elif words[i] == "-Xcompiler":
            kept = [f for f in words[i + 1].split(",") if not f.startswith("-W")]
            flags += ["-Xcompiler", ",".join(kept)] if kept else []
            i += 2
        else:
            flags += [] if words[i].startswith("-Wno") else [words[i]]
            i += 1
    number = re.sub(r"^\w+_", "", target)
    host = ["-ccbin", os.environ["CUDAHOSTCXX"]] if os.environ.get("CUDAHOSTCXX") else []
    return ["-gencode", f"arch=compute_{number},code={target}"] + flags + host


def version() -> str:
    return cmake_list("CMakeLists.txt", r"project\(wavemill VERSION (\S+)")[0]


class Plan:
    """Objects and links. An object that fails takes only the programs with it that need it."""

    def __init__(self, build: Build):
        self.build = build
        self.objects = {}  # object -> command
        self.errors = {}  # object -> what its compiler said
        emulated = build.toolkit is None
        self.targets = "emulated_90" if emulated else build.target
        self.cc, self.cxx = os.environ.get("CC", "cc"), os.environ.get("CXX", "c++")
        folders = ["runtime", "kernels", "tests", "tests/runner", "tests/kernels", "tests/models", "models", "bench",
                   "bench/gpu"]
        self.includes = [f"-I{os.path.join(ROOT, f)}" for f in folders]
        emulator = [f"-I{os.path.join(ROOT, 'tests/emulator', f)}" for f in ("include", ".")]
        common = ["-w", "-g1", "-fPIC", "-fno-omit-frame-pointer", "-ffp-contract=off", "-fvisibility=hidden",
                  "-ffunction-sections", "-fdata-sections", "-D_GNU_SOURCE", f'-DWAVEMILL_VERSION="{version()}"',
                  f'-DWAVEMILL_TARGETS="{self.targets}"']
        self.c_flags = ["-std=gnu17", "-O1" if emulated else "-O2"] + common
        cxx_flags = ["-std=gnu++20", "-O1"] + common + emulator
        self.emulator_command = [self.cxx] + cxx_flags
        if emulated:
            self.cu_command = [self.cxx] + cxx_flags + ["-x", "c++", "-fno-tree-vectorize", "-fno-exceptions"]
            self.libraries = []
        else:
            kit = build.toolkit
            extra = cufft_headers(kit, os.path.join(build.folder, "cufft"))
            self.cu_command = ([kit.nvcc] + nvcc_flags(build.target) + [f"-I{e}" for e in extra]
                               + [f'-DWAVEMILL_VERSION="{version()}"', f'-DWAVEMILL_TARGETS="{self.targets}"'])
            folders = dict.fromkeys(os.path.dirname(p) for p in (kit.cufft, kit.cudart))
            self.libraries = [kit.cufft, kit.cudart] + [f"-Wl,-rpath,{f}" for f in folders]

    def object(self, source: str, kind: str = "", flags: tuple = ()) -> str:
        """kind: of several objects of one source, by their flags."""
        out = os.path.join(self.build.folder, "objects", kind + source.replace("/", "_") + ".o")
        if source.endswith(".cu"):
            command = self.cu_command + self.includes
        elif source.endswith(".cpp"):
            command = self.emulator_command + self.includes
        else:
            command = [self.cc] + self.c_flags + list(flags) + self.includes
        self.objects[out] = command + ["-c", os.path.join(ROOT, source), "-o", out]
        return out

    def all_objects(self, names: list) -> list:
        return [self.object(n) for n in names]

    def vector_room(self, room: list) -> list:
        """The room with its vector twins: where the CPU computes what takes long."""
        twins, table = vector_twins(), self.object("kernels/ops_cpu.c")
        if not twins:
            return room
        names = sources("kernels", cmake_list("kernels/CMakeLists.txt", r"set\(simd\s+([^)]*)\)"))
        return ([o for o in room if o != table] + [self.object("kernels/ops_cpu.c", "vector_", ("-DWAVEMILL_SIMD",))]
                + [self.object(n, f"{isa}_", tuple(flags)) for isa, flags in twins.items() for n in names])

    def compile(self) -> None:
        os.makedirs(os.path.join(self.build.folder, "objects"), exist_ok=True)
        # The slow ones first, so that none is left alone at the end.
        order = sorted(self.objects, key=lambda o: (".cu.o" not in o, ".cpp.o" not in o))
        with concurrent.futures.ThreadPoolExecutor(self.build.jobs) as pool:
            for out, (status, said) in zip(order, pool.map(lambda o: self.run(self.objects[o]), order)):
                if status:
                    self.errors[out] = f"{' '.join(self.objects[out])}\n{said.strip()}"

    def run(self, command: list) -> tuple[int, str]:
        return run(command, min(STEP_SECONDS, self.build.ends - time.monotonic()))

    def link(self, out: str, objects: list, more: list) -> str:
        """"" or why it could not be linked."""
        broken = [self.errors[o] for o in objects if o in self.errors]
        if broken:
            return broken[0]
        path = os.path.join(self.build.folder, out)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        status, said = self.run([self.cxx, "-o", path] + objects + ["-Wl,--gc-sections"] + more
                                + ["-lpthread", "-ldl", "-lrt", "-lm"])
        return f"linking {out}: {said.strip()}" if status else ""


def build_all(build: Build) -> dict:
    """Builds lib/ and bin/; gives for each product "" or what went wrong: module, baseline, each test's program,
    device_check, bench_device, separation, planted."""
    plan, emulated = Plan(build), build.toolkit is None
    cu, cu_host = device_sources()
    emulator = cmake_list("tests/emulator/CMakeLists.txt", r"set\(emulator\s+([^)]*)\)") if emulated else []
    shared = ["-shared", "-Wl,-z,defs"] + plan.libraries
    beside = plan.all_objects([f"tests/emulator/{f}" for f in emulator])
    room = plan.all_objects(host_sources())
    kit = plan.all_objects(["tests/runner/test.c"] + sources("tests/kernels", cmake_list(
        "tests/kernels/CMakeLists.txt", r"add_library\(wavemill_kernel_check STATIC\s+([^)]*)\)")))
    batch = plan.all_objects(["bench/gpu/batch.c", "bench/gpu/figures.c"] + [
        f"bench/network{part}.c" for part in ("", "_run", "_cost")])
    links = {
        "module": (f"lib/libwavemill_{'emulated' if emulated else 'cuda'}.so", plan.all_objects(cu + cu_host) + beside,
                   shared),
        "baseline": ("lib/libbaseline.so", plan.all_objects(
            ["bench/gpu/baseline.cu", "bench/gpu/limits.cu", "runtime/status.c"]
            + ["kernels/" + n for n in ("mel_plan.c", "spectrum.c", "frames.c", "fft_cpu.c")]) + beside, shared),
        "device_check": ("bin/device_check", plan.all_objects(["bench/gpu/device_check.c"]) + batch + room, []),
        "bench_device": ("bin/bench_device", plan.all_objects(
            ["bench/gpu/bench_device.c", "bench/gpu/bench_rows.c", "bench/gpu/bench_network.c",
             "bench/gpu/bench_host.c", "bench/machine.c", "bench/flops.c"]) + batch + room, []),
    }
    links["separation"] = ("bin/separation", plan.all_objects(
        [f"bench/gpu/separation{part}.c" for part in ("", "_speed", "_songs")]
        + ["bench/machine.c", "bench/flops.c", "tests/models/seeded_network.c"] + network_sources())
        + batch + plan.vector_room(room), [])
    for program in dict.fromkeys(t.program for t in device_tests()):
        links[program] = (f"bin/test_{program}", plan.all_objects([f"tests/kernels/test_{program}.c"]) + kit + room, [])
    if not emulated:
        links["planted"] = ("bin/planted", plan.all_objects(["tests/cuda/planted.cu"]), plan.libraries)
    plan.compile()
    with concurrent.futures.ThreadPoolExecutor(build.jobs) as pool:
        return dict(zip(links, pool.map(lambda l: plan.link(*l), links.values())))
