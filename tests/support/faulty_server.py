"""A web server that gives out the files of a folder by ranges, and misbehaves when it is told to."""

import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class FaultyServer:
    """Serves `folder` at `url` while it is open.

    Attributes:
        behave: what to do with the n-th request for the bytes of a file: a function of (n, path) that returns "well",
            "fail" (status 503), "refuse" (403), "cut" (close in the middle), "stall" (no answer until the server ends),
            "whole" (all of the file instead of the range) or "wrong" (some bits are not right).
        requests: (path, first byte, number of bytes) of every request for the bytes of a file; a whole file from 0 on.
        sent: bytes sent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.behave: Callable[[int, str], str] = lambda number, path: "well"
        self.requests: list[tuple[str, int, int]] = []
        self.sent = 0
        self._lock, self._end = threading.Lock(), threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FaultyServer":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                file = outer.folder / self.path.lstrip("/")
                if not file.is_file():
                    return self._answer(404, b"", 0)
                return self._answer(200, b"", file.stat().st_size)

            def do_GET(self) -> None:
                file = outer.folder / self.path.lstrip("/")
                if not file.is_file():
                    return self._answer(404, b"", 0)
                data = whole = file.read_bytes()
                found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                start = int(found[1]) if found else 0
                if found:
                    data = whole[start : int(found[2]) + 1]
                with outer._lock:
                    number = len(outer.requests)
                    outer.requests.append((self.path, start, len(data)))
                how = outer.behave(number, self.path)
                if how == "fail":
                    return self._answer(503, b"", 0)
                if how == "refuse":
                    return self._answer(403, b"", 0)
                if how == "stall":
                    outer._end.wait()
                    return None
                if how == "whole":
                    return self._answer(200, whole, len(whole))
                if how == "wrong" and data:
                    data = bytes(byte ^ (place % 50 == 0) for place, byte in enumerate(data))
                if how == "cut":
                    self.close_connection = True
                    return self._answer(206, data[: len(data) // 2], len(data))
                return self._answer(206 if found else 200, data, len(data))

            def _answer(self, status: int, data: bytes, length: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.send_header("Accept-Ranges", "bytes")
                self.end_headers()
                self.wfile.write(data)
                with outer._lock:
                    outer.sent += len(data)

        return Handler
