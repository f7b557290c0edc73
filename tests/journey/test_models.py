"""The model library as a user meets it: import, list, show, verify, remove; fetch from servers that are good and bad."""
import contextlib
import hashlib
import http.server
import json
import os
import shutil
import signal
import struct
import threading
import time

from journey import Home, main

SOURCES = ["drums", "bass", "other", "vocals"]


def tensors(seed: int = 1, sources: list | None = None, count: int = 300) -> bytes:
    """A file as demucs 4.1 exports its networks, but for their size."""
    kwargs = {"sources": sources or SOURCES, "segment": {"_type": "fraction", "numerator": 39, "denominator": 5}}
    header = json.dumps({
        "__metadata__": {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": json.dumps(kwargs)},
        "encoder.0.conv.weight": {"dtype": "F32", "shape": [count, 1], "data_offsets": [0, 4 * count]},
        "encoder.0.conv.bias": {"dtype": "F16", "shape": [2], "data_offsets": [4 * count, 4 * count + 4]}}).encode()
    header += b" " * (-len(header) % 8)
    data = struct.pack(f"<{count}f", *(seed + i / 7 for i in range(count))) + struct.pack("<2e", 0.5, -2)
    return struct.pack("<Q", len(header)) + header + data


def write(path: str, data: bytes | str) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data.encode() if isinstance(data, str) else data)
    return path


def names(home: Home) -> list[str]:
    return [line["model"] for line in home.lines("models", "list")]


def brought_in_and_taken_out() -> None:
    with Home() as h:
        assert h.run("models", "list").stdout == b"" and names(h) == []
        file = write(h.path("w/htdemucs.safetensors"), tensors())
        line = h.lines("models", "import", file, "--licence", "MIT", "--source", "a page")[0]
        assert line["input"]["path"] == file and line["model"] == "htdemucs"
        model = line["results"]
        assert (model["kind"], model["stems"], model["parameters"]) == ("htdemucs", SOURCES, 302)
        assert model["licence"] == "MIT" and model["source"] == "a page" and model["schema"] == 1
        entry = [f for f in model["files"] if f["name"] == "htdemucs.safetensors"][0]
        assert entry["sha256"] == hashlib.sha256(tensors()).hexdigest() and entry["bytes"] == len(tensors())
        assert entry["blake2b"] == hashlib.blake2b(tensors(), digest_size=32).hexdigest()
        h.run("models", "import", file, code=1)  # it is there
        h.run("models", "import", file, "--name", "../x", code=2)
        h.run("models", "import", file, "--name", "second")
        assert names(h) == ["htdemucs", "second"]
        text = h.run("models", "show", "second").stdout.decode()
        assert "network      htdemucs.safetensors: drums bass other vocals\n" in text, text
        assert h.run("models", "list", "--csv").stdout.decode().splitlines()[0] == "model,kind,networks,bytes,stems,licence"
        assert [x["results"]["files"] for x in h.lines("models", "verify")] == [2, 2]
        stored = os.path.join(h.home, "models/second/htdemucs.safetensors")
        with open(stored, "r+b") as f:
            f.seek(-1, 2)
            f.write(b"\x7f")
        bad = h.lines("models", "verify", code=1)
        assert "results" in bad[0] and "BLAKE2b" in bad[1]["error"]["message"], bad
        assert b"damaged: htdemucs.safetensors" in h.run("models", "verify", "second", code=1).stdout
        h.run("models", "remove", "second", "third", code=1)
        assert names(h) == ["htdemucs"]
        write(os.path.join(h.home, "models/htdemucs/model.json"), "{")
        assert "error" in h.lines("models", "list", code=1)[0]
        h.run("models", "remove", "htdemucs")
        assert [n for n in os.listdir(os.path.join(h.home, "models")) if n != ".lock"] == []


def a_bag_of_networks() -> None:
    signatures = ["f7e0c4bc", "d12395a8", "92cfc3b6", "04573f0d"]
    rows = ",\n".join("  " + str([1.0 if i == k else 0.0 for k in range(4)]) for i in range(4))
    with Home() as h:
        for i, name in enumerate(signatures):
            write(h.path(f"HTDemucs-ft/{name}.safetensors"), tensors(i))
        write(h.path("HTDemucs-ft/htdemucs_ft.yaml"), f"models: {signatures}\nweights: [\n{rows},\n]")
        line = h.lines("models", "import", h.path("HTDemucs-ft"))[0]
        assert line["model"] == "htdemucs_ft" and line["results"]["networks"] == 4
        shown = h.run("models", "show", "htdemucs_ft").stdout.decode()
        assert "d12395a8.safetensors: bass\n" in shown and "04573f0d.safetensors: vocals\n" in shown, shown


def what_is_refused() -> None:
    cases = [("x.th", b"PK\x03\x04rest", "a pickle"), ("y.th", b"\x80\x02}q\x00.", "python3 -c"), ("z.safetensors", b"", "empty"),
             ("long.safetensors", struct.pack("<Q", 2**63) + b"{}", "the header claims 9223372036854775808 bytes"),
             ("cut.safetensors", tensors()[:-1], "cut short"), ("none.safetensors", struct.pack("<Q", 2) + b"{}", "no args")]
    with Home() as h:
        for name, data, reason in cases:
            path = write(h.path("in/" + name), data)
            line = h.lines("models", "import", path, code=1)[0]
            assert line["error"]["class"] == "INPUT" and reason in line["error"]["message"], line
        h.run("models", "import", h.path("missing"), code=1)
        assert names(h) == []
        for wrong in ((), ("look",), ("import",), ("import", "a", "b"), ("show",), ("fetch",), ("list", "x"), ("show", "a", "--yes"),
                      ("fetch", "mdx"), ("fetch", "htdemucs"), ("list", "--name", "x"), ("show", "x", "--csv"),
                      ("fetch", "htdemucs", "--yes", "--url", "file:///etc"), ("remove", "x", "--dry-run")):
            h.run("models", *wrong, code=2, stdin=open(os.devnull, "rb"))  # pylint: disable=consider-using-with
        dry = h.run("models", "fetch", "htdemucs_ft", "--dry-run").stderr
        assert b"https://huggingface.co/adefossez/HTDemucs-ft/resolve/main/f7e0c4bc.safetensors" in dry and b"licence  MIT" in dry


# ---- fetching ----

class Server(http.server.BaseHTTPRequestHandler):
    """Files from a dictionary; `manner` says how it misbehaves with those that end like the key."""
    protocol_version = "HTTP/1.1"
    files: dict[str, bytes] = {}
    manner: dict[str, str] = {}
    asked: list[tuple[str, str | None]] = []

    def log_message(self, format, *args) -> None:  # pylint: disable=redefined-builtin
        """Says nothing."""

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def do_GET(self) -> None:  # pylint: disable=invalid-name
        name = self.path.rsplit("/", 1)[1]
        ranged = self.headers.get("Range")
        type(self).asked.append((name, ranged))
        manner = next((m for end, m in self.manner.items() if name.endswith(end)), "")
        body = self.files.get(name)
        if body is None:
            self.answer(404, b"no such file")
        elif manner:
            getattr(self, "do_" + manner)(name, body, ranged)
        else:
            self.do_good(name, body, ranged)

    def do_good(self, _name: str, body: bytes, ranged: str | None) -> None:
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        if ranged and self.headers.get("If-Range") == etag:
            start = int(ranged[6:].split("-")[0])
            self.answer(206, body[start:], ETag=etag, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.answer(200, body, ETag=etag)

    def do_short(self, _name: str, body: bytes, _ranged: str | None) -> None:
        """Half of what was announced, then the end."""
        self.answer(200, body[:len(body) // 2], ETag=f'"{hashlib.sha256(body).hexdigest()}"', Content_Length=str(len(body)))
        self.close_connection = True

    def do_no_ranges(self, _name: str, body: bytes, _ranged: str | None) -> None:
        self.answer(200, body)

    def do_loop(self, name: str, _body: bytes, _ranged: str | None) -> None:
        self.answer(302, b"", Location="/again/" + name)

    def do_away(self, name: str, _body: bytes, _ranged: str | None) -> None:
        self.answer(302, b"", Location="file:///etc/" + name)

    def do_error(self, _name: str, _body: bytes, _ranged: str | None) -> None:
        self.answer(500, b"<html>sorry</html>")

    def do_endless(self, _name: str, _body: bytes, _ranged: str | None) -> None:
        """More than a list of names can have, without a length."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            for _ in range(64):
                self.wfile.write(b"#" * 65535 + b"\n")

    def do_stall(self, _name: str, body: bytes, _ranged: str | None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.flush()
        with contextlib.suppress(OSError):
            self.connection.settimeout(60)
            self.connection.recv(1)  # until the client has gone
        self.close_connection = True

    def do_wrong_range(self, _name: str, body: bytes, ranged: str | None) -> None:
        """Another part than was asked for."""
        if ranged:
            self.answer(206, body[1:], Content_Range=f"bytes 1-{len(body) - 1}/{len(body)}")
        else:
            self.do_short(_name, body, ranged)

    def do_refuse_range(self, _name: str, body: bytes, ranged: str | None) -> None:
        if ranged:
            self.answer(416, b"")
        else:
            self.do_good(_name, body, ranged)


class Quiet(http.server.ThreadingHTTPServer):
    """Clients that go away in the middle are what is tested here."""
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """Says nothing."""


@contextlib.contextmanager
def serving(files: dict[str, bytes], **manner: str):
    """A server of these files; manner's keys are ends of names, with '_' for '.'."""
    handler = type("Handler", (Server,), {"files": files, "manner": {k.replace("_", "."): v for k, v in manner.items()}, "asked": []})
    server = Quiet(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield handler, f"http://127.0.0.1:{server.server_address[1]}/files"
    finally:
        server.shutdown()
        server.server_close()


FILES = {"htdemucs.yaml": b"models: ['955717e8']\n", "955717e8.safetensors": tensors(count=50000)}


def fetch(h: Home, url: str, code: int = 0, *more: str, timeout: str = "60") -> str:
    """What it says; nothing may stand under a final name after a failure."""
    h.environment["no_proxy"] = "127.0.0.1"
    done = h.run("models", "fetch", "htdemucs", "--yes", "--url", url, "--timeout", timeout, *more, code=code)
    assert code == 0 or names(h) == [], done.stderr
    return done.stderr.decode()


def waiting(h: Home) -> list[str]:
    """What lies in the folder of downloads."""
    folder = os.path.join(h.home, "models/.fetch/htdemucs")
    return sorted(n for n in os.listdir(folder) if n != ".lock") if os.path.isdir(folder) else []


def fetched() -> None:
    with Home() as h, serving(FILES) as (server, url):
        said = fetch(h, url)
        assert "licence  MIT (the code); the README names no separate licence" in said and url in said
        model = h.lines("models", "show", "htdemucs")[0]["results"]
        assert model["source"] == url and model["licence"].startswith("MIT (the code)") and waiting(h) == []
        assert server.asked == [("htdemucs.yaml", None), ("955717e8.safetensors", None)]
        assert "is there" in h.run("models", "fetch", "htdemucs", "--yes", "--url", url, code=1).stderr.decode()
        h.run("models", "remove", "htdemucs")
        line = h.lines("models", "fetch", "htdemucs", "--yes", "--url", url + "/", "--quiet")[0]
        assert line["model"] == "htdemucs" and line["results"]["networks"] == 1


def gone_on_with() -> None:
    """Broken off in the middle: the rest is asked for, of the same file only."""
    half = len(FILES["955717e8.safetensors"]) // 2
    with Home() as h:
        with serving(FILES, _safetensors="short") as (_, url):
            assert f"broke off after {half} bytes" in fetch(h, url, 1)
        assert waiting(h) == ["955717e8.safetensors.etag", "955717e8.safetensors.part", "htdemucs.yaml"]
        with serving(FILES) as (server, url):
            fetch(h, url)
            assert server.asked == [("955717e8.safetensors", f"bytes={half}-")]
        assert h.lines("models", "verify") and waiting(h) == []
    for manner in ("no_ranges", "refuse_range"):  # begins again
        with Home() as h:
            with serving(FILES, _safetensors="short") as (_, url):
                fetch(h, url, 1)
            with serving(FILES, _safetensors=manner) as (server, url):
                fetch(h, url)
                assert server.asked[0] == ("955717e8.safetensors", f"bytes={half}-")
            assert h.lines("models", "verify")
    with Home() as h:  # another file of the same name: If-Range makes the server send it whole
        with serving(FILES, _safetensors="short") as (_, url):
            fetch(h, url, 1)
        other = {**FILES, "955717e8.safetensors": tensors(9, count=50000)}
        with serving(other) as (_, url):
            fetch(h, url)
        files = h.lines("models", "show", "htdemucs")[0]["results"]["files"]
        assert files[0]["sha256"] == hashlib.sha256(other["955717e8.safetensors"]).hexdigest()
    with Home() as h:
        with serving(FILES, _safetensors="wrong_range") as (_, url):
            fetch(h, url, 1)
            assert "206, with other bytes than were asked for" in fetch(h, url, 1)
            assert "broke off" in fetch(h, url, 1)  # what it has sent is not counted on again


def servers_that_lie() -> None:
    cases = [("yaml", "error", "answered 500"), ("safetensors", "error", "answered 500"), ("yaml", "loop", "redirected more than 5 times"),
             ("yaml", "away", "rotocol"), ("yaml", "endless", "more than the 65536 bytes"), ("yaml", "stall", "too slow")]
    for ending, manner, reason in cases:
        with Home() as h, serving(FILES, **{"_" + ending: manner}) as (_, url):
            said = fetch(h, url, 1, timeout="1" if manner == "stall" else "60")
            assert reason in said, (manner, said)
            assert not [n for n in waiting(h) if n.endswith(ending)], (manner, waiting(h))
    for files, reason in (({}, "answered 404"), ({**FILES, "htdemucs.yaml": b"<html>sign in</html>"}, "bag: "),
                          ({**FILES, "955717e8.safetensors": b"<html>sign in</html>"}, "safetensors: "),
                          ({**FILES, "955717e8.safetensors": b"PK\3\4" + bytes(100)}, "a pickle"),
                          ({**FILES, "955717e8.safetensors": tensors()[:-4]}, "cut short"), ({**FILES, "955717e8.safetensors": b""}, "empty")):
        with Home() as h, serving(files) as (_, url):
            said = fetch(h, url, 1)
            assert reason in said, said
        with Home() as h, serving(files) as (_, url):  # and it stands in nobody's way
            fetch(h, url, 1)
            with serving(FILES) as (_, good):
                fetch(h, good)
    with Home() as h:
        assert "127.0.0.1" in fetch(h, "http://127.0.0.1:1/files", 1)  # nobody there


def checksums_stay() -> None:
    """The first download's checksum is what later ones must have, wherever they come from."""
    changed = {**FILES, "955717e8.safetensors": tensors(2, count=50000)}
    with Home() as h:
        with serving(FILES) as (_, url):
            fetch(h, url)
        h.run("models", "remove", "htdemucs")
        with serving(changed) as (_, url):
            said = fetch(h, url, 1)
            assert "not what was fetched before" in said and hashlib.sha256(FILES["955717e8.safetensors"]).hexdigest() in said
            fetch(h, url, 1)
            fetch(h, url, 0, "--accept-changed")
        h.run("models", "remove", "htdemucs")
        with serving(FILES) as (_, url):
            fetch(h, url, 1)
        with serving(changed) as (_, url):
            fetch(h, url)
        h.run("models", "remove", "htdemucs")
        write(os.path.join(h.home, "models/.known.json"), "{")
        with serving(changed) as (_, url):
            assert ".known.json" in fetch(h, url, 1)


def interrupted() -> None:
    """A signal ends it with 130, and what had come is gone on with."""
    with Home() as h, serving(FILES, _safetensors="stall") as (server, url):
        h.environment["no_proxy"] = "127.0.0.1"
        running = h.start("models", "fetch", "htdemucs", "--yes", "--url", url)
        end = time.monotonic() + 60
        while len(server.asked) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130
        running.communicate()
        assert names(h) == []
        server.manner.clear()
        fetch(h, url)
        assert names(h) == ["htdemucs"]


def killed_anywhere() -> None:
    """Killed at any moment of an import: the model is whole or not there, and nothing stays behind."""
    with Home() as h:
        file = write(h.path("w/big.safetensors"), tensors(count=400000))
        whole = 0
        for i in range(12):
            running = h.start("models", "import", file)
            time.sleep(0.002 * i)
            running.kill()
            running.wait()
            running.communicate()
            if names(h):
                whole += 1
                h.run("models", "verify")
                h.run("models", "remove", "big")
        h.run("models", "import", file)
        left = [n for n in os.listdir(os.path.join(h.home, "models")) if n.startswith((".new", ".old"))]
        assert left == [] and names(h) == ["big"], (left, whole)
        shutil.rmtree(os.path.join(h.home, "models"))
        assert names(h) == []


if __name__ == "__main__":
    main([brought_in_and_taken_out, a_bag_of_networks, what_is_refused, fetched, gone_on_with, servers_that_lie, checksums_stay, interrupted,
          killed_anywhere])
