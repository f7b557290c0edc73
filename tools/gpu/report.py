"""Rows of tools/gpu-check: the table that is printed, and the file that is kept."""
import datetime
import json
import os
import platform
import re
import shutil

from toolkit import ROOT, run

GROUPS_THAT_FAIL = ("build", "parity", "determinism", "separation", "sanitizer")


class Rows:
    """In the order in which they are to be read; each is printed as soon as it is known."""

    def __init__(self):
        self.rows = []

    def add(self, group: str, name: str, status: str, detail: str = "", **figures) -> None:
        detail = " ".join(detail.split())
        self.rows.append({"group": group, "name": name, "status": status, "detail": detail, **figures})
        shown = f"{status}: {detail}" if status in ("not run", "failed") else detail or status
        print(f"{group:<12} {name:<34} {shown[:400]}", flush=True)

    def failed(self) -> bool:
        return any(r["status"] == "failed" and r["group"] in GROUPS_THAT_FAIL for r in self.rows)


def text_of_time(seconds: float) -> str:
    for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1 or unit == "us":
            return f"{seconds * factor:.3g} {unit}"
    return ""


def revision() -> str:
    status, said = run(["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"], 10)
    if status:
        return "unknown"
    changed, files = run(["git", "-C", ROOT, "status", "--porcelain", "-uno"], 10)
    return said.strip() + (" with changes" if changed == 0 and files.strip() else "")


def processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            return next(line.split(":", 1)[1].strip() for line in stream if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def write(rows: Rows, head: dict, device: str, private: list, folders: list) -> list:
    """DATE-DEVICE.json in each folder; the paths. A folder that cannot be written to is said and passed over. Messages
    lose the names of private folders: the file is kept, and they are of one machine."""
    today = datetime.date.today().isoformat()
    name = f"{today}-{re.sub(r'[^a-z0-9]+', '-', device.lower()).strip('-') or 'device'}.json"
    text = json.dumps({"date": today, "revision": revision(), "processor": processor(), "cores": os.cpu_count(), **head,
                       "rows": rows.rows}, indent=1) + "\n"
    for place in private:
        text = text.replace(place.rstrip("/") + "/", "").replace(place, ".")
    written = []
    for folder in dict.fromkeys(folders):
        try:
            os.makedirs(folder, exist_ok=True)
            path = os.path.join(folder, name)
            with open(path + ".new", "w", encoding="utf-8") as stream:
                stream.write(text)
            shutil.move(path + ".new", path)
            written.append(path)
        except OSError as e:
            print(f"gpu-check: cannot write into {folder}: {e.strerror}", flush=True)
    return written
