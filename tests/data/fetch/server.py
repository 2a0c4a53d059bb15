"""A local server that stands in for Google Drive and for release hosts, with their faults."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from requests.adapters import HTTPAdapter


@dataclass
class Thing:
    """What the server has under one path.

    Attributes:
        cuts: for each request in turn, after how many bytes the connection breaks; afterwards none does.
        pause: seconds between blocks of 64 KiB.
        length: say beforehand how much will come.
        version: what the server calls the content.
        head: answer HEAD.
        headers: more of them.
        then: what is there in its place after one answer.
        gate: send half, and the rest when it is opened.
        sent: bytes that left.
    """

    data: bytes = b""
    kind: str = "application/octet-stream"
    status: int = 200
    name: str = ""
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    length: bool = True
    version: str = ""
    head: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    then: "Thing | None" = None
    pause: float = 0
    gate: threading.Event | None = None
    location: str = ""
    requests: list[str] = field(default_factory=list)
    sent: int = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_HEAD(self) -> None:
        thing = self.server.things.get(self.path)
        self.send_response((thing.status if thing.head else 405) if thing else 404)
        if thing and thing.version and thing.head:
            self.send_header("ETag", thing.version)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        thing = self.server.things.get(self.path) or Thing(b"<html>no such file</html>", "text/html", 404)
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        thing.requests.append(self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and thing.ranges else 0
        if start and start >= len(thing.data):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else thing.status)
        if thing.kind:
            self.send_header("Content-Type", thing.kind)
        if thing.version:
            self.send_header("ETag", thing.version)
        for name, value in thing.headers.items():
            self.send_header(name, value)
        if thing.length:
            self.send_header("Content-Length", str(len(thing.data) - start))
        else:
            self.send_header("Connection", "close")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(thing.data) - 1}/{len(thing.data)}")
        if thing.name:
            self.send_header("Content-Disposition", f'attachment; filename="{thing.name}"')
        if thing.location:
            self.send_header("Location", thing.location)
        if thing.then:  # before the client can know of this answer and ask again
            self.server.things[self.path] = thing.then
        self.end_headers()
        self._body(thing, start)

    def _body(self, thing: Thing, start: int) -> None:
        # gdown asks once without a range before it asks for the rest: that answer is thrown away
        end = len(thing.data)
        if thing.cuts:
            end = min(end, start + thing.cuts.pop(0))
        try:
            for place in range(start, end, 1 << 16):
                block = thing.data[place : min(place + (1 << 16), end)]
                self.wfile.write(block)
                thing.sent += len(block)
                time.sleep(thing.pause)
                if thing.gate and place > end // 2:
                    thing.gate.wait(60)
        except OSError:
            pass
        if end < len(thing.data):
            self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    things: dict[str, Thing]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nothing to talk about."""


class Server:
    """The server; ``things`` maps paths to what is there. Other hosts are paths that begin with the host's name."""

    def __init__(self, port: int, things: dict[str, Thing]) -> None:
        self.port, self.things = port, things

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def add(self, path: str, data: bytes = b"", **facts: object) -> Thing:
        self.things[path] = Thing(data, **facts)  # type: ignore[arg-type]
        return self.things[path]

    def drive(self, identity: str, data: bytes, name: str = "file.zip", **facts: object) -> Thing:
        """A small file on Google Drive, which comes at once."""
        return self.add(f"/drive.google.com/uc?id={identity}", data, name=name, **facts)

    def page(self, identity: str, html: str) -> Thing:
        """A page that Google Drive shows in place of a file."""
        return self.drive(identity, html.encode(), name="", kind="text/html; charset=utf-8")


@contextmanager
def serving() -> Iterator[Server]:
    """A running server."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.things = {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Server(server.server_port, server.things)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Detour(HTTPAdapter):
    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    def send(self, request: requests.PreparedRequest, *rest: object, **options: object) -> requests.Response:
        host = (request.url or "").split("/")[2]
        request.url = f"http://127.0.0.1:{self.port}/{host}{request.path_url}"
        return super().send(request, *rest, **options)  # type: ignore[arg-type]


def session(port: int) -> requests.Session:
    """A session for which every https host is the local server."""
    made = requests.Session()
    made.mount("https://", _Detour(port))
    return made
