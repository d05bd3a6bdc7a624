"""`FaultProxy`: a TCP proxy in front of an object store that stalls, answers 500 or 403, or cuts bodies short."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Fault = Literal["none", "stall", "error", "forbid", "truncate", "shorten", "refuse"]
"""``forbid`` refuses writes; ``truncate`` ends the connection inside the body; ``shorten`` drops the
body's end and says so in its length."""


class FaultProxy:
    """One request for each connection, so that a fault set now counts for the next request."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.fault: Fault = "none"
        self.requests = 0
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()
        self._target = target
        self._released = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.2)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Ends every connection, the stalled ones too."""
        self._released.set()
        self._accepting.join()
        self._server.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._released.is_set():
            try:
                client, _ = self._server.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            client.settimeout(10)
            with suppress(OSError):
                with self._counted():
                    answer = self._answer(client)
                client.sendall(answer)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self.requests += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self._lock:
                self.at_once -= 1

    def _answer(self, client: socket.socket) -> bytes:
        fault = self.fault
        if fault == "refuse":
            return b""
        request = _message(client)
        if not request:
            return b""
        if fault == "stall":
            self._released.wait(20)
            return b""
        if fault == "error" or (fault == "forbid" and request.startswith(b"PUT")):
            status = b"500 no" if fault == "error" else b"403 no"
            return b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        with socket.create_connection(self._target, 10) as server:
            server.sendall(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body)
            answer = _message(server, head_only=request.startswith(b"HEAD"))
        if request.startswith(b"GET") and fault in ("truncate", "shorten"):
            answer = _cut(answer, honest=fault == "shorten")
        return answer


def _cut(answer: bytes, *, honest: bool) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    body = body[: len(body) * 2 // 3]
    if honest:
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length:")]
        head = b"\r\n".join([*lines, b"Content-Length: %d" % len(body)])
    return head + b"\r\n\r\n" + body


def _message(connection: socket.socket, *, head_only: bool = False) -> bytes:
    """A whole HTTP message; its body has a Content-Length, or ends with the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (got := connection.recv(65536)):
            return data
        data += got
    head, _, body = data.partition(b"\r\n\r\n")
    if head_only:
        return data
    names = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    if b"100-continue" in names.get(b"expect", b""):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = int(names[b"content-length"]) if b"content-length" in names else None
    if length is None and (b"transfer-encoding" not in names or not head.startswith(b"HTTP")):
        return data
    parts = [data]
    have = len(body)
    while length is None or have < length:
        if not (got := connection.recv(2**20)):
            break
        parts.append(got)
        have += len(got)
    return b"".join(parts)
