"""Run by hand or by CI in a venv that has kvproxy's dependencies and nothing else: prints OK.

Some releases of litellm fail on every call with ``tools=`` for want of a package that they do not ask for.
"""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading
from typing import Any

PARAMETERS = {"type": "object", "properties": {}}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": PARAMETERS}}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers a request that has tools with a call of the first."""

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        calls = [CALL] if body.get("tools") == TOOLS else []
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        frame = {"id": "1", "object": "chat.completion", "created": 1, "model": "up"}
        answer = json.dumps({**frame, "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def main() -> int:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    import litellm

    server = http.server.HTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        response: Any = litellm.completion(
            model="openai/up",
            api_base=f"http://127.0.0.1:{server.server_port}/v1",
            api_key="sk-probe",
            messages=[{"role": "user", "content": "Look."}],
            tools=TOOLS,
        )
    finally:
        server.shutdown()
        server.server_close()
    calls = response.choices[0].message.tool_calls
    good = bool(calls) and calls[0].function.name == "look"
    sys.stdout.write("OK\n" if good else f"no tool call in {response}\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
