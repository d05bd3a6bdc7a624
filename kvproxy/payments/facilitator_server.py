"""A `LocalFacilitator` over HTTP, for examples and tests in which it is a party of its own: loopback only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from kvproxy.payments.facilitator_client import Json
from kvproxy.payments.local_facilitator import LocalFacilitator

_MOST_BYTES = 2**18


class _FacilitatorRequest(BaseHTTPRequestHandler):
    """One request of x402's facilitator API."""

    server: _FacilitatorServer

    def do_GET(self) -> None:
        """Answer ``/supported``."""
        if self.path == "/supported":
            self._answer(HTTPStatus.OK, self.server.facilitator.supported_now())
        else:
            self._answer(
                HTTPStatus.NOT_FOUND, {"error": "there are GET /supported, POST /verify and /settle"}
            )

    def do_POST(self) -> None:
        """Answer ``/verify`` and ``/settle``."""
        facilitator = self.server.facilitator
        calls = {"/verify": facilitator.verify_now, "/settle": facilitator.settle_now}
        size = int(self.headers.get("content-length") or 0)
        if self.path not in calls or size > _MOST_BYTES:
            self._answer(
                HTTPStatus.NOT_FOUND, {"error": "there are GET /supported, POST /verify and /settle"}
            )
            return
        try:
            body = json.loads(self.rfile.read(size))
            payment, requirements = body["paymentPayload"], body["paymentRequirements"]
        except (ValueError, KeyError, TypeError, RecursionError):
            self._answer(HTTPStatus.BAD_REQUEST, {"error": "send paymentPayload and paymentRequirements"})
            return
        self._answer(HTTPStatus.OK, calls[self.path](payment, requirements))

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the example's output is for people."""

    def _answer(self, status: HTTPStatus, value: Json) -> None:
        body = json.dumps(dict(value)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _FacilitatorServer(ThreadingHTTPServer):
    """The server of one facilitator."""

    daemon_threads = True

    def __init__(self, facilitator: LocalFacilitator) -> None:
        super().__init__(("127.0.0.1", 0), _FacilitatorRequest)
        self.facilitator = facilitator


@contextmanager
def facilitator_server(facilitator: LocalFacilitator) -> Iterator[str]:
    """Serve ``facilitator`` on a free port of loopback while the block is open; yield its URL."""
    with _FacilitatorServer(facilitator) as server:
        thread = Thread(target=server.serve_forever, name="facilitator", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
