"""compute-sanitizer on a small set of cases. The tool does not work on every machine: it may refuse the device, or run
and see nothing. So each of its checks first has to find a planted error and to pass its right form."""
import re
import typing

# What it says where it cannot work; then its count means nothing.
REFUSALS = ("device not supported", "internal sanitizer error", "terminated before first instrumented")
OUTPUT_KEPT = 6000
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")


class Verdict(typing.NamedTuple):
    errors: int  # -1: it did not work
    message: str


def lines_of(said: str) -> list:
    """The tool's own lines, without the marks in front."""
    return [t for t in (re.sub(r"^=+\s*", "", line).strip() for line in said.splitlines() if line.startswith("=="))
            if t and t != "COMPUTE-SANITIZER"]


def judge(status: int, said: str) -> Verdict:
    """What a run comes to. A count without a refusal is believed; without a count nothing is."""
    own = lines_of(said)
    for line in own:
        if any(r in line.lower() for r in REFUSALS):
            return Verdict(-1, line)
    counts = [int(n) for n in re.findall(r"SUMMARY:\s*(\d+) (?:errors?|hazards?)", said)]
    if status == 124:
        return Verdict(-1, said.strip().splitlines()[-1])
    if not counts:
        tail = own or said.strip().splitlines() or [f"it ended with {status} and said nothing"]
        return Verdict(-1, tail[0] if own else tail[-1])
    if sum(counts):
        return Verdict(sum(counts), next((line for line in own if "SUMMARY" not in line), own[0]))
    return Verdict(0, "") if status == 0 else Verdict(-1, f"the program ended with {status} under it")


def check(tool: str, call, planted: list, program: list) -> tuple[str, str, str]:
    """(status, detail, output) of a row. call(tool, command) runs compute-sanitizer: its exit status and output."""
    answers = []

    def ask(command):
        answers.append(call(tool, command))
        return judge(*answers[-1])

    status, detail = compare(ask, planted + [tool], program)
    return status, detail, "" if status == "passed" else answers[-1][1][-OUTPUT_KEPT:]


def compare(ask, planted: list, program: list) -> tuple[str, str]:
    found = ask(planted)
    if found.errors < 0:
        return "not run", found.message
    if found.errors == 0:
        return "not run", "it does not see a planted error on this machine"
    right = ask(planted + ["right"])
    if right.errors:
        return "not run", f"a program without errors does not pass: {right.message}"
    verdict = ask(program)
    if verdict.errors < 0:
        return "not run", verdict.message
    if verdict.errors:
        return "failed", f"{verdict.errors} errors: {verdict.message}"
    return "passed", "no error; a planted one is found"
