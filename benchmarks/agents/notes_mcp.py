"""An MCP server over stdio with one tool, ``read_note``; standard library only, for agents that run it themselves."""

from __future__ import annotations

import json
import sys
from typing import Any

TOOL = {
    "name": "read_note",
    "description": "Reads the note that the person keeps.",
    "inputSchema": {"type": "object", "properties": {}, "additionalProperties": False},
}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        about = {"name": "notes", "version": "1"}
        version = params.get("protocolVersion", "2025-06-18")
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": "The launch is on Friday."}], "isError": False}
    return {}


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if "id" in request:
            result = answer(request["method"], request.get("params") or {})
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
