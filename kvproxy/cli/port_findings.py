"""Examination of the address that a server would listen on, while one may be running there already."""

from __future__ import annotations

import http.client
import json

from kvproxy.cli.doctor import port_finding
from kvproxy.terminal.finding import Finding

_ANSWER_S = 2.0
_HERE = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}


def listen_finding(host: str, port: int) -> Finding:
    """Report whether a server could listen. A proxy that answers there is no fault: its own settings may be examined.

    Example: ``listen_finding("127.0.0.1", 8321)``
    """
    found = port_finding(host, port)
    if found.level == "fail" and _is_proxy(_HERE.get(host, host), port):
        return Finding("ok", "port", f"{host}:{port}: a proxy serves there now")
    return found


def _is_proxy(host: str, port: int) -> bool:
    try:
        asked = http.client.HTTPConnection(host, port, timeout=_ANSWER_S)
        try:
            asked.request("GET", "/health/live")
            return bool(json.loads(asked.getresponse().read(4096)) == {"status": "live"})
        finally:
            asked.close()
    except (OSError, ValueError, http.client.HTTPException):
        return False
