"""Every kernel of the CUDA module: no spills, no stack, and the occupancy that its comment promises.

    test_ptxas.py [LIST]

Reads what ptxas -v printed when the module was built; LIST (default $WAVEMILL_CUDA_KERNELS) has a line "SOURCE tab
OUTPUT" for each .cu file. Registers of sm_90 decide about occupancy; spills and stack count for every target. First
the readers and the arithmetic are tried on fixed cases."""
import os
import sys

from ptxas import (Promise, blocks_at_once, losses, parse_promises, parse_reports, plain_name, read_promises)

REPORT = """ptxas info    : 16 bytes gmem
ptxas info    : Compiling entry function '_Z11sums_kernelPKfPf' for 'sm_80'
ptxas info    : Function properties for _Z11sums_kernelPKfPf
    40 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 40 bytes cumulative stack size, 4096 bytes smem, 380 bytes cmem[0]
ptxas info    : Compile time = 52.402 ms
ptxas info    : Compiling entry function '_Z11sums_kernelPKfPf' for 'sm_90a'
ptxas info    : Function properties for _Z11sums_kernelPKfPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, used 0 barriers
ptxas info    : Function properties for _Z5apartf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized
"""

SOURCE = """/* occupancy: 1 block of 32 threads */
#include "x.h"
/* occupancy: 9 blocks of 9 threads */
static __global__ void forward_kernel(int n);
static void other(void) {}
/* Why it is so.
 * occupancy: 4 blocks of 256 threads, 46 KB of dynamic
 * shared memory each */
template <int N>
static __global__ void __launch_bounds__(THREADS(64), 4) sums_kernel(const float *x, float *y)
{
}
// occupancy: 2 blocks of 1024 threads
// occupancy: 32 blocks of 64 threads, 0.5 KB of dynamic shared memory each
extern "C" __global__ __launch_bounds__(1024) void two_kernel(int n) {}
/* occupancy: 8 blocks of 256 threads */

static int apart;
__global__ void silent_kernel(int n) { /* occupancy: 8 blocks of 256 threads */ }
"""

# registers, threads, static, dynamic -> blocks of one sm_90 multiprocessor, worked out by hand.
OCCUPANCY = (
    ((32, 256, 0, 0), 8),  # threads: 2048 / 256
    ((33, 256, 0, 0), 6),  # 33 * 32 becomes 1280; 12 warps in each of four parts, 48 / 8
    ((64, 256, 0, 0), 4),  # registers
    ((65, 256, 0, 0), 3),
    ((255, 256, 0, 0), 1),
    ((16, 32, 0, 0), 32),  # blocks
    ((16, 33, 0, 0), 32),
    ((64, 256, 0, 46 * 1024), 4),
    ((32, 256, 0, 56 * 1024), 4),  # 4 * (56 + 1) = 228
    ((32, 256, 1, 56 * 1024), 3),
    ((32, 256, 0, 227 * 1024), 1),
    ((32, 256, 1, 227 * 1024), 0),
    ((32, 1025, 0, 0), 0),
    ((65, 1024, 0, 0), 0),  # 72 * 1024 registers
    ((64, 1024, 0, 0), 1),
    ((40, 192, 0, 0), 8),  # 6 warps; 12 in each part, 48 / 6
)


def equal(got, want, what) -> None:
    assert got == want, f"{what}: {got}, not {want}"


def try_readers() -> None:
    for case, want in OCCUPANCY:
        equal(blocks_at_once(*case), want, case)
    reports = parse_reports(REPORT)
    equal([(r.target, r.entry, r.registers, r.shared, r.stack, r.stores, r.loads) for r in reports],
          [("sm_80", True, 255, 4096, 40, 8, 12), ("sm_90a", True, 32, 0, 0, 0, 0), ("sm_90a", False, 0, 0, 0, 0, 0)],
          "reports")
    equal(len(losses(REPORT)), 1, "losses")
    try:
        parse_reports(REPORT.replace("Used", "Took"))
    except ValueError:
        pass
    else:
        raise AssertionError("an unknown format passes")
    promises = parse_promises(SOURCE)
    equal(promises, {
        "sums_kernel": [Promise(4, 256, 46 * 1024)],
        "two_kernel": [Promise(2, 1024, 0), Promise(32, 64, 512)],
        "silent_kernel": [],
    }, "promises")
    for symbol, name in (("_Z11sums_kernelPKfPf", "sums_kernel"), ("_Z11sums_kernelILi4EEvPf", "sums_kernel"),
                         ("_ZL11sums_kernel5piece", "sums_kernel"), ("two_kernel", "two_kernel"),
                         ("_ZN18_GLOBAL__N__ab_12211sums_kernelEPKf", "sums_kernel")):
        equal(plain_name(symbol), name, symbol)


def judge(report, promises) -> tuple:
    """(what the table says of occupancy, what is wrong)."""
    wrong = [f"{n} bytes of {what}" for n, what in
             ((report.stack, "stack"), (report.stores, "spill stores"), (report.loads, "spill loads")) if n]
    if not report.entry or not report.target.startswith("sm_90"):
        return "", wrong
    said = []
    for promise in promises:
        blocks = blocks_at_once(report.registers, promise.threads, report.shared, promise.dynamic)
        said.append(f"{blocks} of {promise.blocks}")
        if blocks < promise.blocks:
            wrong.append(f"{blocks} blocks of {promise.threads} threads, {promise.blocks} are promised")
    return ", ".join(said), wrong


def check_file(source: str, output: str) -> tuple:
    """Prints a line per function and target; (kernels, findings)."""
    with open(output, encoding="utf-8") as stream:
        text = stream.read()
    promises, kernels, findings = read_promises(source), 0, losses(text)
    for report in parse_reports(text):
        name = plain_name(report.name)
        occupancy, wrong = judge(report, promises.get(name, []))
        if report.entry:
            kernels += 1
            if name not in promises:
                wrong.append("its definition is not found in the source")
            elif not promises[name]:
                wrong.append("its comment promises no occupancy (occupancy: N blocks of N threads, N KB of dynamic "
                             "shared memory each)")
        print(f"{os.path.basename(source):20} {name:32} {report.target:7} {report.registers:9} "
              f"{report.stores:6} {report.loads:5} {report.stack:5} {report.shared:7}  {occupancy}")
        findings += [f"{source}: {name} on {report.target}: {fault}" for fault in wrong]
    return kernels, findings


def main() -> int:
    try_readers()
    listed = sys.argv[1] if len(sys.argv) > 1 else os.environ["WAVEMILL_CUDA_KERNELS"]
    with open(listed, encoding="utf-8") as stream:
        files = [line.rstrip("\n").split("\t") for line in stream]
    print(f"{'file':20} {'kernel':32} {'target':7} registers stores loads stack  shared  blocks, promised")
    kernels, findings = 0, []
    for source, output in files:
        if not os.path.exists(output):
            findings.append(f"{output} is missing; to mend: ninja wavemill_cuda")
            continue
        found, wrong = check_file(source, output)
        kernels += found
        findings += wrong
    if kernels == 0:
        findings.append(f"no kernel found at all in the {len(files)} outputs of {listed}")
    for finding in findings:
        print("FAIL", finding)
    print(f"{kernels} kernels and targets, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
