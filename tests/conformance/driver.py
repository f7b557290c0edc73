"""The Python client behind a line of JSON, as driver.c is for libwavemill: what test_conformance.py asks."""
import json
import sys
import time

import wavemill

client: wavemill.Client | None = None


def moment(a: dict, name: str) -> float | None:
    return time.time() + a[name] / 1000 if name in a else None


def items(a: dict) -> list:
    if "paths" in a:
        return a["paths"]
    made: list[dict] = [{} for _ in range(a.get("count", 0))]
    for index, action in a.get("actions", {}).items():
        made[int(index)] = {"params": {"action": action}}
    return made


def job(j: dict) -> dict:
    names = ("state", "kind", "name", "priority", "paused", "items", "queued", "leased", "waiting", "done", "dead", "cancelled")
    took = j["finished_unix_ms"] - j["submitted_unix_ms"] if j["finished_unix_ms"] else 0
    return {"job": j["id"], **{n: j[n] for n in names}, "took_ms": took, "finished_ms": j["finished_unix_ms"]}


def outcome(o: dict) -> dict:
    return {**{n: o[n] for n in ("index", "state", "failure", "attempts", "retried")}, "path": o["path"].decode()}


def submit(a: dict) -> dict:
    kind, common = a.get("kind", "noop"), {n: a[n] for n in ("name", "priority", "key", "wave") if n in a}
    if "sleep_ms" in a:
        common["params"] = {"sleep_ms": a["sleep_ms"]}
    if a.get("open"):
        return {"job": client.open(kind, **common)}
    done = client.submit(kind, items(a), **common, start_after=moment(a, "start_in_ms"), deadline=moment(a, "deadline_in_ms"),
                         backoff=a.get("backoff_ms", 0) / 1000, attempt_timeout=a.get("attempt_ms", 0) / 1000,
                         stall_timeout=a.get("stall_ms", 0) / 1000, max_attempts=a.get("max_attempts", 0))
    return done._asdict()


def watch(a: dict) -> dict:
    to_end, found, cursor = a.get("to_end", False), [], a.get("cursor", 0)
    while True:
        page = client.page(a["job"], cursor, wait=0.5 if to_end else a.get("wait_ms", 0) / 1000, dead_only=a.get("dead_only", False))
        found += [outcome(o) for o in page.outcomes]
        cursor = page.cursor
        if page.over or not to_end:
            return {"outcomes": found, "cursor": cursor, "over": page.over}


def logs(a: dict) -> dict:
    found = client.logs(a["job"], a.get("cursor", 0))
    return {"lines": [{"index": x["index"], "text": x["text"]} for x in found.lines], "cursor": found.cursor, "lost": found.lost}


def listed(a: dict) -> dict:
    states = [name for i, name in enumerate(("queued", "running", "done", "dead", "cancelled")) if a.get("phases", 0) >> i & 1]
    ids = [j["id"] for j in client.jobs(states=states, kind=a.get("kind"), name=a.get("name"), after=a.get("after", 0))]
    limit = a.get("limit") or 100
    return {"jobs": ids[:limit], "more": len(ids) > limit}


def connect(a: dict) -> dict:
    global client
    if client:
        client.close()
    client = None
    client = wavemill.Client(name="conformance", restart=a.get("restart_ms", 10000) / 1000)
    return {}


OPERATIONS = {
    "submit": submit, "watch": watch, "logs": logs, "list": listed, "connect": connect,
    "add": lambda a: client.add(a["job"], items(a), "noop") or {},
    "seal": lambda a: client.seal(a["job"]) or {},
    "show": lambda a: job(client.show(a["job"])),
    "cancel": lambda a: job(client.cancel(a["job"])),
    "pause": lambda a: job(client.pause(a["job"])),
    "resume": lambda a: job(client.resume(a["job"])),
    "priority": lambda a: job(client.priority(a["job"], a["priority"])),
    "retry": lambda a: job(client.retry(a["job"], a.get("indexes"))),
}


def main() -> None:
    for line in sys.stdin:
        a = json.loads(line)
        try:
            out = OPERATIONS[a["do"]](a)
        except (wavemill.WavemillError, ValueError) as e:
            print(f"{a['do']}: {e}", file=sys.stderr)
            out = {"error": getattr(e, "reason", "no_scheduler" if isinstance(e, wavemill.NoScheduler) else "argument")}
        print(json.dumps(out), flush=True)
    if client:
        client.close()


if __name__ == "__main__":
    main()
