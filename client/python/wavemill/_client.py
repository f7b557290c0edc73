"""The queue: submit jobs, watch their outcomes, steer them; by libwavemill's client, which outlives restarts."""

from __future__ import annotations

import ctypes
import datetime
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from . import _tables
from ._library import WavemillError, library
from ._tables import List, Slice

NOT_FOUND, TIMEOUT, BUSY = -7, -10, -11  # codes of status.h
REASONS = {1: "version", 2: "type", 3: "body", 4: "limit", 5: "not_found", 6: "state", 7: "busy", 8: "session", 9: "conflict"}
PHASES = {"queued": 1, "running": 2, "done": 4, "dead": 8, "cancelled": 16}
JOB_STATES = ("open", "active", "done", "cancelled")
ITEM_STATES = ("queued", "leased", "done", "dead", "cancelled")
FAILURES = ("NONE", "INPUT", "RESOURCE", "TRANSIENT", "DEVICE", "INTERNAL", "CRASH", "STALE", "TIMEOUT")
Moment = datetime.datetime | float | None
Item = str | bytes | os.PathLike | dict | None


class NoScheduler(WavemillError):
    """No scheduler runs, or it does not answer."""


class Refused(WavemillError):
    """The scheduler said no; `reason` is a word of its protocol: not_found, state, conflict, busy, limit ..."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Accepted(NamedTuple):
    """What a submission gave: `known` when its key had made the job before."""

    job: int
    items: int
    known: bool


class Page(NamedTuple):
    """Outcomes, the cursor behind them, their job, and whether it has ended with nothing more to come."""

    outcomes: list[dict]
    cursor: int
    job: dict
    over: bool


class Lines(NamedTuple):
    """Log lines, the cursor behind them, how many are not kept any more, and their job."""

    lines: list[dict]
    cursor: int
    lost: int
    job: dict


_i64, _u64, _text, _bool, _pointer = ctypes.c_int64, ctypes.c_uint64, ctypes.c_char_p, ctypes.c_bool, ctypes.c_void_p


class _Options(ctypes.Structure):
    """struct client_options"""

    _fields_ = [("home", _text), ("name", _text), ("start", _bool), ("program", _text), ("serve_options", _pointer),
                ("timeout_ms", _i64), ("restart_ms", _i64), ("interrupted", _pointer)]


class _Job(ctypes.Structure):
    """struct client_job"""

    _fields_ = [("kind", _text), ("name", _text), ("params", Slice), ("priority", _i64), ("max_attempts", _u64),
                ("cancel_on_disconnect", _bool), ("key", Slice), ("start_unix_ms", _u64), ("deadline_unix_ms", _u64),
                ("backoff_ms", _u64), ("attempt_ms", _u64), ("stall_ms", _u64), ("device_bytes", _u64),
                ("wave", _u64)]


class _Item(ctypes.Structure):
    """struct client_item"""

    _fields_ = [("path", _text), ("params", Slice), ("object", _pointer)]


class _Page(ctypes.Structure):
    """struct client_page, with room for its job: the table says how much."""

    _fields_ = [("outcomes", List), ("cursor", _u64), ("job", ctypes.c_byte * _tables.schema("job").bytes), ("over", _bool),
                ("held", _pointer)]


class _Filter(ctypes.Structure):
    """struct client_filter"""

    _fields_ = [("phases", _u64), ("kind", _text), ("name", _text)]


for _name, _result, _arguments in (
    ("client_open", ctypes.c_int, [_pointer, _pointer]),
    ("client_close", None, [_pointer]),
    ("client_refusal", ctypes.c_int, [_pointer]),
    ("client_submit", ctypes.c_int, [_pointer, _pointer, _pointer]),
    ("client_submit_items", ctypes.c_int, [_pointer, _pointer, _pointer, ctypes.c_size_t, _pointer]),
    ("client_add", ctypes.c_int, [_pointer, _u64, _pointer, ctypes.c_size_t]),
    ("client_seal", ctypes.c_int, [_pointer, _u64]),
    ("client_watch_paths", ctypes.c_int, [_pointer, _u64, _u64, _i64, _pointer]),
    ("client_watch_dead", ctypes.c_int, [_pointer, _u64, _u64, _i64, _pointer]),
    ("client_page_release", None, [_pointer]),
    ("client_show", ctypes.c_int, [_pointer, _u64, _pointer]),
    ("client_cancel", ctypes.c_int, [_pointer, _u64, _pointer]),
    ("client_pause", ctypes.c_int, [_pointer, _u64, _pointer]),
    ("client_resume", ctypes.c_int, [_pointer, _u64, _pointer]),
    ("client_priority", ctypes.c_int, [_pointer, _u64, _i64, _pointer]),
    ("client_retry", ctypes.c_int, [_pointer, _u64, _pointer, ctypes.c_size_t, _pointer]),
    ("client_logs", ctypes.c_int, [_pointer, _u64, _u64, _pointer]),
    ("client_list", ctypes.c_int, [_pointer, _pointer, _u64, _u64, _pointer]),
    ("client_stats", ctypes.c_int, [_pointer, _pointer]),
):
    _function = getattr(library, _name)
    _function.restype = _result
    _function.argtypes = _arguments


def key_of(text: str | bytes) -> bytes:
    """A key of up to 16 bytes as it is, a longer one by its BLAKE2b-128: as `wavemill submit --key` does."""
    raw = text.encode() if isinstance(text, str) else text
    return raw if len(raw) <= 16 else hashlib.blake2b(raw, digest_size=16).digest()


def _milliseconds(moment: Moment) -> int:
    if moment is None:
        return 0
    return int(1000 * (moment.timestamp() if isinstance(moment, datetime.datetime) else moment))


def _packed(kind: str, what: str, values: dict | bytes | None) -> bytes:
    """Parameters of a job or an item: bytes as they are, a dict by the kind's table."""
    if not values or isinstance(values, bytes):
        return values or b""
    table = _tables.schema(f"kind_{kind}_{what}")
    if table is None:
        raise ValueError(f"{kind!r} has no table of {what}: pass MessagePack as bytes")
    return _tables.encode(table, values)


def _named(job: dict) -> dict:
    job["id"] = job.pop("job")
    job["state"] = JOB_STATES[job["state"]] if job["state"] < len(JOB_STATES) else "unknown"
    return job


def _outcome(outcome: dict, kind: str) -> dict:
    """States and classes by name; the result by the kind's table, where it has one."""
    outcome["state"] = ITEM_STATES[outcome["state"]]
    outcome["failure"] = FAILURES[outcome["failure"]] if outcome["failure"] < len(FAILURES) else "UNKNOWN"
    table = _tables.schema(f"kind_{kind}_result")
    if table is not None and outcome["result"]:
        outcome["result"] = _tables.decode(table, outcome["result"])
    return outcome


class _Slices:
    """Bytes that C borrows for the time of a call."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def __call__(self, data: bytes) -> Slice:
        self.kept.append(ctypes.create_string_buffer(data, len(data)))
        return Slice(ctypes.addressof(self.kept[-1]), len(data)) if data else Slice()


class Client:
    """A session with the scheduler of a home; close it, or use it in a with statement.

    A scheduler that restarts is waited for (`restart` seconds) and asked again, whatever was asked. `start` starts one
    with workers when none runs, for as long as there are clients, with the `wavemill` command that is on PATH (or that
    WAVEMILL_PROGRAM or `program` names). One thread at a time. Raises NoScheduler, Refused, TypeError and ValueError."""

    def __init__(self, home: str | os.PathLike | None = None, *, name: str = "python", start: bool = False,
                 program: str | None = None, timeout: float = 10.0, restart: float = 10.0) -> None:
        self._handle = _pointer()
        if start and not program:
            program = shutil.which(os.environ.get("WAVEMILL_PROGRAM", "wavemill"))
        options = _Options(os.fsencode(home) if home else None, name.encode(), start, program.encode() if program else None,
                           None, max(int(1000 * timeout), 1), int(1000 * restart) or -1, None)
        self._check(library.client_open(ctypes.byref(options), ctypes.byref(self._handle)))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the session: jobs that were not sealed, or have cancel_on_disconnect, are cancelled."""
        library.client_close(ctypes.byref(self._handle))

    def _session(self) -> ctypes.c_void_p:
        if not self._handle:
            raise ValueError("the client is closed")
        return self._handle

    def _check(self, code: int) -> None:
        if code == 0:
            return
        message = library.status_message().decode("utf-8", "replace")
        refusal = library.client_refusal(self._handle) if self._handle else 0
        if refusal in REASONS and refusal != 8:
            raise Refused(message, REASONS[refusal])
        if code in (NOT_FOUND, TIMEOUT, BUSY):
            raise NoScheduler(message)
        raise ValueError(message) if code == -1 else WavemillError(message)

    def _job(self, call: str, *arguments: Any) -> dict:
        table = _tables.schema("job")
        memory = ctypes.create_string_buffer(table.bytes)
        self._check(getattr(library, call)(self._session(), *arguments, memory))
        return _named(_tables.struct(memory, table))

    @staticmethod
    def _items(kind: str, items: Iterable[Item], keep: _Slices) -> ctypes.Array:
        rows = []
        for item in items:
            row = item if isinstance(item, dict) else {"path": item}
            path = row.get("path")
            params = _packed(kind, "item", row.get("params"))
            rows.append(_Item(os.path.abspath(os.fsencode(path)) if path else None, keep(params)))
        return (_Item * max(len(rows), 1))(*rows), len(rows)

    @staticmethod
    def _spec(keep: _Slices, kind: str, params: dict | bytes | None, name: str | None, key: str | bytes | None, start_after: Moment,
              deadline: Moment, backoff: float, attempt_timeout: float, stall_timeout: float, **more: int) -> _Job:
        return _Job(kind=kind.encode(), name=name.encode() if name else None, params=keep(_packed(kind, "params", params)),
                    key=keep(key_of(key)) if key else Slice(), start_unix_ms=_milliseconds(start_after),
                    deadline_unix_ms=_milliseconds(deadline), backoff_ms=int(1000 * backoff), attempt_ms=int(1000 * attempt_timeout),
                    stall_ms=int(1000 * stall_timeout), **more)

    def submit(self, kind: str, items: Iterable[Item] = (), *, params: dict | bytes | None = None, name: str | None = None,
               priority: int = 0, key: str | bytes | None = None, start_after: Moment = None, deadline: Moment = None,
               backoff: float = 0, attempt_timeout: float = 0, stall_timeout: float = 0, max_attempts: int = 0,
               device_bytes: int = 0, wave: int = 0, cancel_on_disconnect: bool = False) -> Accepted:
        """A whole job; returns once it is on disk.

        items: paths, or dicts with `path` and `params` (both may be missing). Times are datetimes or Unix seconds, durations
        seconds. The same key and content give the same job; other content is Refused with reason "conflict". wave: so many items are granted
        at a time, the next when all of these are over (0: no waves)."""
        keep = _Slices()
        rows, count = self._items(kind, items, keep)
        spec = self._spec(keep, kind, params, name, key, start_after, deadline, backoff, attempt_timeout, stall_timeout,
                          priority=priority, max_attempts=max_attempts, device_bytes=device_bytes, wave=wave,
                          cancel_on_disconnect=cancel_on_disconnect)
        table = _tables.schema("accepted")
        memory = ctypes.create_string_buffer(table.bytes)
        self._check(library.client_submit_items(self._session(), ctypes.byref(spec), rows, count, memory))
        return Accepted(**_tables.struct(memory, table))

    def open(self, kind: str, *, params: dict | bytes | None = None, name: str | None = None, priority: int = 0,
             key: str | bytes | None = None, wave: int = 0, cancel_on_disconnect: bool = False) -> int:
        """A job that is filled by `add` and ended by `seal`; its items may run before. Returns its number."""
        keep, job = _Slices(), _u64()
        spec = self._spec(keep, kind, params, name, key, None, None, 0, 0, 0, priority=priority, wave=wave,
                          cancel_on_disconnect=cancel_on_disconnect)
        self._check(library.client_submit(self._session(), ctypes.byref(spec), ctypes.byref(job)))
        return job.value

    def add(self, job: int, items: Iterable[Item], kind: str = "") -> None:
        """More items for the job that was opened last; `kind` is needed for params that are dicts."""
        keep = _Slices()
        rows, count = self._items(kind, items, keep)
        self._check(library.client_add(self._session(), job, rows, count))

    def seal(self, job: int) -> None:
        """The job that was opened last is complete."""
        self._check(library.client_seal(self._session(), job))

    def page(self, job: int, cursor: int = 0, *, wait: float = 0.5, dead_only: bool = False) -> Page:
        """Outcomes from a cursor on, waiting up to `wait` seconds for the first: index, state, failure (a class), message,
        result (a dict where the kind has a table), attempts, path, log, retried."""
        raw = _Page()
        call = library.client_watch_dead if dead_only else library.client_watch_paths
        self._check(call(self._session(), job, cursor, int(1000 * wait), ctypes.byref(raw)))
        try:
            state = _named(_tables.struct(raw.job, _tables.schema("job")))
            outcomes = [_outcome(o, state["kind"]) for o in _tables.maps(raw.outcomes, _tables.schema("outcome"))]
            return Page(outcomes, raw.cursor, state, raw.over)
        finally:
            library.client_page_release(ctypes.byref(raw))

    def watch(self, job: int, cursor: int = 0, *, dead_only: bool = False) -> Iterator[dict]:
        """Every outcome from a cursor on, as they come, to the end of the job."""
        while True:
            page = self.page(job, cursor, dead_only=dead_only)
            yield from page.outcomes
            if page.over:
                return
            cursor = page.cursor

    def dead(self, job: int) -> Iterator[dict]:
        """The items of a job that are dead now."""
        cursor, before = 0, -1
        while cursor > before:
            page = self.page(job, cursor, wait=0, dead_only=True)
            yield from (o for o in page.outcomes if o["state"] == "dead" and not o["retried"])
            cursor, before = page.cursor, cursor

    def show(self, job: int) -> dict:
        """The job: state, counters, times."""
        return self._job("client_show", job)

    def cancel(self, job: int) -> dict:
        """Queued items are cancelled, leased ones taken from their workers."""
        return self._job("client_cancel", job)

    def pause(self, job: int) -> dict:
        """Nothing more is begun; what is being worked on goes on."""
        return self._job("client_pause", job)

    def resume(self, job: int) -> dict:
        """Goes on after `pause`."""
        return self._job("client_resume", job)

    def priority(self, job: int, priority: int) -> dict:
        """Another priority for what is not yet begun."""
        return self._job("client_priority", job, priority)

    def retry(self, job: int, items: Iterable[int] | None = None) -> dict:
        """Queues dead items again: all, or those named, at most 4,096. An empty list names none: nothing is done."""
        indexes = [] if items is None else list(items)
        if items is not None and not indexes:
            return self.show(job)
        return self._job("client_retry", job, (_u64 * max(len(indexes), 1))(*indexes), len(indexes))

    def logs(self, job: int, cursor: int = 0) -> Lines:
        """Log lines of the job's items that are there now: index, attempt, unix_ms, text."""
        table = _tables.schema("lines")
        memory = ctypes.create_string_buffer(table.bytes)
        self._check(library.client_logs(self._session(), job, cursor, memory))
        body = _tables.struct(memory, table)
        return Lines(body["lines"], body["cursor"], body["lost"], _named(body["job"][0]))

    def jobs(self, *, states: Iterable[str] = (), kind: str | None = None, name: str | None = None, after: int = 0) -> Iterator[dict]:
        """Jobs by number, ascending. states: queued, running, done, dead, cancelled; none: all."""
        states = set(states)
        unknown = states - set(PHASES)
        if unknown:
            raise ValueError(f"states: {', '.join(sorted(unknown))} not among {', '.join(PHASES)}")
        wanted = _Filter(sum(PHASES[s] for s in states), kind.encode() if kind else None, name.encode() if name else None)
        table = _tables.schema("jobs")
        more = True
        while more:
            memory = ctypes.create_string_buffer(table.bytes)
            self._check(library.client_list(self._session(), ctypes.byref(wanted), after, 500, memory))
            body = _tables.struct(memory, table)
            more = body["more"]
            for job in body["jobs"]:
                after = job["job"]
                yield _named(job)

    def stats(self) -> dict:
        """The scheduler itself: epoch, counters, workers."""
        table = _tables.schema("server")
        memory = ctypes.create_string_buffer(table.bytes)
        self._check(library.client_stats(self._session(), memory))
        return _tables.struct(memory, table)
