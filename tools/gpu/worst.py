"""The worst differences that kernel tests print, one line per row of the table of operations: `ROW: worst 5.4e-08`, a
relative error, or `ROW: 0.32 of the tolerance` that the row's header states."""
import re

LINE = re.compile(r"^\s+([a-z][\w-]*): (?:worst ([\d.e+-]+|inf|nan)|([\d.]+|inf|nan) of the tolerance)$", re.M)


def parse(said: str) -> dict:
    """Row -> {"worst": number, "unit": "" or "tol"}; the larger where a row is there twice."""
    rows = {}
    for row, relative, part in LINE.findall(said):
        merge(rows, {row: {"worst": float(relative or part), "unit": "tol" if part else ""}})
    return rows


def merge(rows: dict, more: dict) -> None:
    for row, figure in more.items():
        if row not in rows or not figure["worst"] <= rows[row]["worst"]:
            rows[row] = figure


def text(figure: dict) -> str:
    if figure["unit"]:
        return f"{figure['worst']:.2f} tol"
    return f"{figure['worst']:.1e}" if figure["worst"] else "0"
