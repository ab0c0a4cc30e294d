"""A report shown by this machine to this machine: a server of its folder whose pages load anew when they change.

It answers to 127.0.0.1 alone, under that name or localhost, and reads nothing outside the folder. Pages on disk allow
no connection at all; as they are sent, their policy is widened by the one to this server, and a script is put in.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from reportgen.errors import ReportError
from reportgen.publish import MARKER
from reportgen.templating import environment, templates_dir

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost", "[::1]")  # a page of another name that leads here is an attack (DNS rebinding)
OWN = "/~reportgen/"  # what is not of the report; no file of it has such a name
RECENT = 4  # pages that are drawn before all others
ALIVE = 10.0  # seconds after which a silent connection hears that it is still there
POLICY = re.compile(r'(<meta http-equiv="Content-Security-Policy" content=")([^"]*)(">)')
OUR_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".xml": "application/xml",
    ".yaml": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".webp": "image/webp",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True)
class State:
    """What there is to show at a moment."""

    token: str  # changes whenever a page must be loaded anew
    words: str = ""  # what is going on
    problem: str = ""  # why there is no report
    ready: bool = False
    pages: Mapping[str, str] = field(default_factory=dict)  # path -> HTML, newer than what lies on disk


class Shown:
    """What the pages show now; whoever changes it wakes those who wait for a change."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count, self._run = 0, time.time_ns()  # a page of an earlier server must not think it is of this one
        self.state = State(self._token(), "Being built for the first time.")
        self._asked: dict[str, None] = {}

    def note(self, path: str) -> None:
        """Somebody looks at a page now."""
        with self._changed:
            self._asked.pop(path, None)
            self._asked[path] = None

    def looked_at(self) -> list[str]:
        """The pages that were asked for last."""
        with self._changed:
            return list(self._asked)[-RECENT:] or ["index.html"]

    def working(self, words: str) -> None:
        """Something is being done; pages stay as they are."""
        self._set(replace(self.state, words=words))

    def built(self) -> None:
        """There is a new report."""
        self._set(State(self._token(), ready=True))

    def previewed(self, pages: Mapping[str, str]) -> None:
        """These pages are newer than what lies on disk, and the others soon will be."""
        self._set(State(self._token(), ready=True, pages=pages))

    def broken(self, problem: str) -> None:
        """There is none, and why."""
        self._set(State(self._token(), "Mend it and save: this page then shows the report by itself.", problem))

    def after(self, seen: State, patience: float) -> State:
        """The state once it is not the one seen, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.state is not seen, patience)
            return self.state

    def _token(self) -> str:
        self._count += 1
        return f"{self._run}-{self._count}"

    def _set(self, state: State) -> None:
        with self._changed:
            self.state = state
            self._changed.notify_all()


class Server(ThreadingHTTPServer):
    """Shows a folder on a port of 127.0.0.1; without a port on the first free one from 8000."""

    daemon_threads = True
    block_on_close = False  # a page that listens for changes never ends by itself

    def __init__(self, folder: Path, shown: Shown, port: int | None = None) -> None:
        self.folder, self.shown = folder, shown
        for number in [port] if port is not None else range(8000, 8020):
            try:
                super().__init__((HOST, number), Handler)
                return
            except OSError as error:
                reason = error.strerror
            except OverflowError:
                reason = "there are ports from 0 to 65535"
        asked = f"--port {port} cannot be used" if port is not None else "None of the ports from 8000 on can be used"
        raise ReportError(f"{asked}: {reason}. Name a free one, such as --port 8100, or 0 for any.")

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{HOST}:{self.server_port}/"

    def __enter__(self) -> Server:
        """Begins to answer, in threads of its own."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Answers nobody any more."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing where a browser went away in the middle; else the terminal has the fault."""
        if not isinstance(sys.exc_info()[1], OSError):
            log.error("a request could not be answered", exc_info=True)


class Handler(BaseHTTPRequestHandler):
    """Answers one browser."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "reportgen", ""
    server: Server

    def do_GET(self) -> None:
        """A page, a file, or the news that something changed."""
        self._answer()

    def do_HEAD(self) -> None:
        """The same without its content."""
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for what the build says."""

    def _answer(self) -> None:
        host = self.headers.get("Host", "")
        if re.sub(r":\d+$", "", host).lower() not in NAMES:
            self._send(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", f"Ask for {self.server.address}".encode())
            return
        path = unquote(urlsplit(self.path).path)
        if path == f"{OWN}events":
            self._events()
        elif path == "/favicon.ico":  # browsers ask for it by themselves, and complain where there is none
            self._send(HTTPStatus.NO_CONTENT, "", b"")
        elif path.startswith(OWN):
            self._own(path.removeprefix(OWN))
        else:
            self._page_or_file(path)

    def _page_or_file(self, path: str) -> None:
        state = self.server.shown.state
        if path.endswith("/"):
            path += "index.html"
        is_page = path.endswith(".html")
        if is_page and not state.ready:
            heading = "The report cannot be built" if state.problem else "The report is being built"
            self._own_page(HTTPStatus.SERVICE_UNAVAILABLE, heading, state)
            return
        if is_page:
            self.server.shown.note(path.strip("/"))
        if (newer := state.pages.get(path.strip("/"))) is not None:
            self._page(newer, state)
            return
        # a folder that is not ours is refused by the build, and none of its files is anybody's business
        file = inside(self.server.folder, path) if (self.server.folder / MARKER).is_file() else None
        try:
            data = file.read_bytes() if file is not None else b""
            mark = f'"{file.stat().st_mtime_ns:x}-{len(data):x}"' if file is not None else ""
        except OSError:  # taken away by a build just now
            file = None
        if file is None:
            self._own_page(
                HTTPStatus.NOT_FOUND, "There is no such page", State(state.token, "Nothing is at this address.")
            )
        elif is_page:
            self._page(data.decode("utf-8"), state)
        elif self.headers.get("If-None-Match") == mark:
            self._send(HTTPStatus.NOT_MODIFIED, "", b"", {"ETag": mark})
        else:
            kind = TYPES.get(file.suffix.lower(), "application/octet-stream")
            self._send(HTTPStatus.OK, kind, data, {"ETag": mark})

    def _page(self, html: str, state: State) -> None:
        """A page of the report, which listens for changes."""
        html, policy = listening(html, state.token)
        self._send(HTTPStatus.OK, TYPES[".html"], html.encode(), {"Content-Security-Policy": policy})

    def _own(self, name: str) -> None:
        if name not in ("reload.js", "style.css"):
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"Nothing is at this address.")
            return
        path = templates_dir() / "serve" / name
        self._send(HTTPStatus.OK, TYPES[path.suffix], path.read_bytes())

    def _own_page(self, status: HTTPStatus, heading: str, state: State) -> None:
        problems = [line for line in state.problem.splitlines() if line.strip()]
        page = environment("serve").get_template("page.html")
        html, _ = listening(page.render(heading=heading, problems=problems, words=state.words), state.token)
        self._send(status, TYPES[".html"], html.encode(), {"Content-Security-Policy": OUR_POLICY})

    def _events(self) -> None:
        """News without end: the state now, and each time it changes."""
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self._headers({"Content-Type": "text/event-stream", "Connection": "close"})
        state = self.server.shown.state
        while self.command == "GET":
            news = json.dumps({"token": state.token, "words": state.words})
            self.wfile.write(f"data: {news}\n\n".encode())
            state = self.server.shown.after(state, ALIVE)

    def _send(self, status: HTTPStatus, kind: str, data: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self._headers({"Content-Type": kind, "Content-Length": str(len(data))} | (more or {}))
        if self.command == "GET":
            self.wfile.write(data)

    def _headers(self, headers: dict[str, str]) -> None:
        always = {
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
        }
        for name, value in (always | headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()


def inside(folder: Path, path: str) -> Path | None:
    """The file of an address below a folder; None for what is not there, is hidden, or lies outside."""
    words = path.strip("/").split("/")
    if any(not word or word.startswith(".") or "\\" in word or "\0" in word or ":" in word for word in words):
        return None
    file = folder.joinpath(*words)
    try:
        real = file.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    return file if real.is_file() and folder.resolve() in real.parents else None


def listening(html: str, token: str) -> tuple[str, str]:
    """A page that listens for changes, and the policy it is to be sent with."""
    policy = OUR_POLICY
    if match := POLICY.search(html):
        policy = widened(match[2])
        html = html[: match.start()] + match[1] + policy + match[3] + html[match.end() :]
    script = f'<script src="{OWN}reload.js" data-token="{token}" defer></script>\n'
    head, found, rest = html.partition("</head>")
    return (head + script + found + rest if found else html + script), policy


def widened(policy: str) -> str:
    """A content security policy that also lets the page listen to this server."""
    parts = {part.split()[0]: part.strip() for part in policy.replace("&#39;", "'").split(";") if part.strip()}
    for name in ("script-src", "connect-src"):
        asked = parts.get(name, name)
        parts[name] = asked if "'self'" in asked else f"{asked.replace(chr(39) + 'none' + chr(39), '').strip()} 'self'"
    return "; ".join(parts.values())
