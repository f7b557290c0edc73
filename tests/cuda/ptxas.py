"""What ptxas -v said of each kernel, what the kernels' comments promise, and how many blocks an sm_90 holds.

A promise is a line in the comment right above a kernel, "occupancy: 4 blocks of 256 threads, 46 KB of dynamic shared
memory each", the last part only where there is some; several lines for a kernel that is launched in several ways."""
import dataclasses
import os
import re

# One multiprocessor of sm_90. A block costs its shared memory, a kilobyte of the driver's and the rounding of both.
THREADS, BLOCKS, REGISTERS, PARTITIONS = 2048, 32, 65536, 4
SHARED, SHARED_MOST, SHARED_RESERVED, SHARED_UNIT = 228 * 1024, 227 * 1024, 1024, 128
REGISTERS_UNIT, BLOCK_THREADS, WARP = 256, 1024, 32


@dataclasses.dataclass
class Report:
    """One function for one target. entry: a kernel, not a function that kernels call."""
    name: str
    target: str
    entry: bool
    registers: int = 0
    shared: int = 0
    stack: int = 0
    stores: int = 0
    loads: int = 0


@dataclasses.dataclass(frozen=True)
class Promise:
    blocks: int
    threads: int
    dynamic: int


def up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def blocks_at_once(registers: int, threads: int, static: int, dynamic: int) -> int:
    """As cuda_occupancy.h counts for sm_90: 0 when not even one fits."""
    warps = up(threads, WARP) // WARP
    per_warp = up(registers * WARP, REGISTERS_UNIT)
    shared = static + dynamic
    if threads > BLOCK_THREADS or shared > SHARED_MOST or per_warp * up(warps, PARTITIONS) > REGISTERS:
        return 0
    limits = [BLOCKS, THREADS // (warps * WARP), SHARED // up(shared + SHARED_RESERVED, SHARED_UNIT)]
    if per_warp:
        limits.append(REGISTERS // PARTITIONS // per_warp * PARTITIONS // warps)
    return min(limits)


def parse_reports(text: str) -> list:
    """The functions of one kept output, in its order. ValueError where it is not what ptxas 12 and 13 print."""
    reports, target, entries = [], "", set()
    for line in text.splitlines():
        if match := re.search(r"Compiling entry function '([^']+)' for '([^']+)'", line):
            target = match[2]
            entries.add((match[1], target))
        elif match := re.search(r"Function properties for '?([^\s']+)", line):
            reports.append(Report(match[1], target, (match[1], target) in entries))
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            reports[-1].stack, reports[-1].stores, reports[-1].loads = (int(n) for n in match.groups())
        elif match := re.search(r"Used (\d+) registers", line):
            reports[-1].registers = int(match[1])
            shared = re.search(r"(\d+)(?:\+\d+)? bytes smem", line)
            reports[-1].shared = int(shared[1]) if shared else 0
    for report in reports:
        if not report.target or (report.entry and not report.registers):
            raise ValueError(f"incomplete report of {report.name}")
    return reports


def losses(text: str) -> list:
    """ptxas's own complaints, such as wgmma in a row that it had to serialise."""
    return [line for line in text.splitlines() if "Performance Loss" in line]


def mask(text: str) -> str:
    """The same length, with comments and preprocessor lines as blanks."""
    pattern = r"/\*.*?\*/|//[^\n]*|^[ \t]*#(?:\\\n|[^\n])*"
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S | re.M)


def after_parentheses(text: str, at: int) -> int:
    """The position behind the pair that opens at text[at]."""
    depth = 0
    for i in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i + 1
    return len(text)


def kernels_of(masked: str):
    """(name, where its declaration begins) of each __global__ function that has a body."""
    word = re.compile(r"\s*(\w+)\s*")
    for match in re.finditer(r"\b__global__\b", masked):
        at = match.end()
        while found := word.match(masked, at):
            at = found.end()
            if masked[at:at + 1] != "(":
                continue  # void, static, inline
            at = after_parentheses(masked, at)
            if re.match(r"__\w+__$", found[1]):
                continue  # __launch_bounds__ and its like
            if masked[at:].lstrip().startswith("{"):
                before = 1 + max(masked.rfind(mark, 0, match.start()) for mark in ";{}")
                yield found[1], before + len(masked[before:]) - len(masked[before:].lstrip())
            break


def comment_above(text: str, begin: int) -> str:
    """The comment that ends on the line before text[begin], or on its line; in one line, without the marks."""
    found = re.search(r"(/\*(?:(?!\*/).)*\*/|(?:[ \t]*//[^\n]*\n)+)[ \t]*\n?[ \t]*\Z", text[:begin], flags=re.S)
    return re.sub(r"\s*\n\s*(?:\*(?!/)|//)?\s*", " ", found[1]) if found else ""


def parse_promises(text: str) -> dict:
    """Kernel name -> its promises, an empty list for a kernel that makes none."""
    promise = re.compile(r"occupancy: (\d+) blocks? of (\d+) threads(?:, (\d+(?:\.\d+)?) KB of dynamic shared memory)?")
    return {
        name: [Promise(int(m[1]), int(m[2]), int(float(m[3] or 0) * 1024))
               for m in promise.finditer(comment_above(text, begin))]
        for name, begin in kernels_of(mask(text))
    }


def read_promises(source: str) -> dict:
    """Of a .cu file and of the .cuh files that it includes from its own folder."""
    promises, todo, seen = {}, [source], set()
    while todo:
        path = os.path.realpath(todo.pop())
        if path in seen or not os.path.exists(path):
            continue
        seen.add(path)
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        promises.update(parse_promises(text))
        todo += [os.path.join(os.path.dirname(path), name) for name in re.findall(r'#include "([^"]+\.cuh)"', text)]
    return promises


def plain_name(symbol: str) -> str:
    """A kernel's name without what C++ adds: its namespaces, template arguments and parameters."""
    mangled = re.match(r"_Z(N?)L?", symbol)
    name, at = symbol, mangled.end() if mangled else 0
    while mangled and (length := re.compile(r"L?(\d+)").match(symbol, at)):
        at = length.end() + int(length[1])
        name = symbol[length.end():at]
        if not mangled[1]:
            break
    return name
