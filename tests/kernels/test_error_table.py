"""The table of worst differences in kernels/README.md: each row of the table of operations is there, whatever its
figures; and where tools/error-table takes a GPU's column from."""
import importlib.machinery
import importlib.util
import json
import os
import sys
import tempfile

ROOT = os.environ.get("WAVEMILL_SOURCE") or os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("error_table", os.path.join(ROOT, "tools", "error-table"))
tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("error_table", loader))
loader.exec_module(tool)


def readme() -> str:
    with open(tool.README, encoding="utf-8") as stream:
        return stream.read()


def test_every_row_is_there():
    rows = tool.rows_wanted()
    assert {"stft", "log-mel", "poly", "rms", "search", "statistics"} <= set(rows) and "spectral" not in rows, rows
    assert len(rows) == len(set(rows)) > 20, rows
    assert not tool.missing(readme()), f"no row of {tool.missing(readme())}; to mend: tools/error-table"


def test_every_row_has_a_program_that_prints_it():
    said = ""
    for name in tool.programs_of_twins():
        with open(os.path.join(ROOT, "tests", "kernels", f"test_{name}.c"), encoding="utf-8") as stream:
            said += stream.read()
    for row in ("conv", "conv_transpose", "dconv", "moments", "attention", "maps_from_complex", "complex_from_maps"):
        assert f'"    {row}: ' in said, row
    assert {"norms", "frames", "search"} <= set(tool.programs_of_twins())


def test_a_row_that_is_gone_is_missed():
    lines = [line for line in readme().split("\n") if not line.startswith("| hpss |")]
    assert tool.missing("\n".join(lines)) == ["hpss"]


def test_the_column_of_a_gpu_is_measured_or_empty():
    def kept(folder, name, backend, worst):
        rows = [{"group": "parity", "name": "rms", "status": "passed", "worst": worst}, {"group": "bench", "name": "rms"}]
        with open(os.path.join(folder, name), "w", encoding="utf-8") as stream:
            json.dump({"date": name[:10], "backend": backend, "gpu": {"name": "Some GPU"}, "rows": rows}, stream)

    with tempfile.TemporaryDirectory() as folder:
        kept(folder, "2026-01-03-emulated.json", "emulated", {"rms": {"worst": 9.0, "unit": ""}})
        with open(os.path.join(folder, "2026-01-04-job.json"), "w", encoding="utf-8") as stream:
            stream.write("[1, 2]")
        assert tool.gpu_column(folder) == ("GPU", {})
        kept(folder, "2026-01-02-some-gpu.json", "cuda", {"rms": {"worst": 5e-8, "unit": ""}})
        kept(folder, "2026-01-01-some-gpu.json", "cuda", {"rms": {"worst": 7e-8, "unit": ""}})
        title, found = tool.gpu_column(folder)
    assert title == "Some GPU, 2026-01-02" and tool.worst.text(found["rms"]) == "5.0e-08"
    lines = tool.table([("scalar", found), (title, {})]).split("\n")
    assert "| rms | 5.0e-08 | not measured |" in lines and "| hpss | - | not measured |" in lines


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print(f"pass {name}", flush=True)
