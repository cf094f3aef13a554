"""The page on a port of this machine, which nobody else can reach. Nothing here imports torch."""

import json
import os
import re
import sys
import tempfile
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any

from lenet.data.drawings import picture
from lenet.data.prepare import prepare
from lenet.datasets import Fit
from lenet.errors import BadInput

HOST = "127.0.0.1"
PORT = 8028  # or one of the next ten, if none is asked for
LARGEST_PICTURE = 50_000_000  # bytes of its file


class Server(ThreadingTCPServer):
    """Answers with one page, and with what nets see of a picture."""

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # where it would let two programs have one port

    def __init__(self, port: int, html: str, fits: Sequence[Fit | None]) -> None:
        self.html, self.fits = html, fits
        self.one_picture = threading.Lock()  # at a time: to be silent about one silences what others say
        super().__init__((HOST, port), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a browser ends a connection when it likes
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/" and self._is_for_us():
            self._answer(200, "text/html; charset=utf-8", self.server.html.encode())
        else:
            self._answer(404, "text/plain; charset=utf-8", b"there is one page here: /")

    def do_POST(self) -> None:
        """What each net sees of the picture in the body: pixels of 28x28, row after row, and what is to be said."""
        length = self.headers.get("Content-Length", "")
        if self.path != "/picture" or not self._is_for_us() or not re.fullmatch("[0-9]{1,12}", length):
            self.close_connection = True  # its body has not been read
            self._answer(404, "text/plain; charset=utf-8", b"nothing is here")
        elif int(length) > LARGEST_PICTURE:
            self.close_connection = True
            self._answer_in_json({"error": f"more than {LARGEST_PICTURE:,} bytes; give a smaller picture"})
        else:
            content = self.rfile.read(int(length))
            with self.server.one_picture:
                found = seen(content, self.server.fits)
            self._answer_in_json(found)

    def _is_for_us(self) -> bool:
        """Whether it was asked for by this machine's name, and by no page from elsewhere, which may lead here."""
        names = ("localhost", HOST)
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        is_ours = origin is None or origin.removeprefix("http://").partition(":")[0].lower() in names
        return is_ours and host.partition(":")[0].lower() in names

    def _answer_in_json(self, content: dict[str, object]) -> None:
        self._answer(200, "application/json", json.dumps(content).encode())

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")  # another net may be shown here next
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *_: object) -> None:
        """Nothing: the terminal has the address, and stays readable."""


def seen(content: bytes, fits: Sequence[Fit | None]) -> dict[str, object]:
    """What nets see of the picture in a file: pixels fitted for each net, and of the whole; or the error in words."""
    handle, name = tempfile.mkstemp()
    file = Path(name)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
        with picture(file, "") as found:
            fitted = [prepare(found, fit) for fit in fits]
            whole = prepare(found, None)
    except BadInput as error:
        return {"error": str(error).removeprefix(f"{file}: ")}
    finally:
        file.unlink()
    warnings = dict.fromkeys(warning for one in fitted for warning in one.warnings)
    return {
        "fitted": [one.pixels.flatten().tolist() for one in fitted],
        "whole": whole.pixels.flatten().tolist(),
        "warnings": list(warnings),
    }


def serve(html: str, fits: Sequence[Fit | None], port: int | None = None) -> Server:
    """A server that waits for `serve_forever`, for this machine alone.

    Args:
        html: the page.
        fits: how the data of each of its nets were made.
        port: 0 is any that is free; None 8028, or the next that is free.

    Raises:
        BadInput: the port is taken.
    """
    for number in range(PORT, PORT + 10) if port is None else (port,):
        try:
            return Server(number, html, fits)
        except OSError as error:
            words = error.strerror or str(error)
    given = f"--port {port}" if port is not None else f"ports {PORT} to {PORT + 9}"
    raise BadInput(f"{given}: {words}; give another --port, or --port 0 for any that is free")
