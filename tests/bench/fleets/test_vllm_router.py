from __future__ import annotations

import sys
from pathlib import Path

import httpx

from kvproxy.bench.fleets.vllm_router import vllm_router

STANDS_IN = """#!{python}
import http.server, json, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(sys.argv[1:]).encode())

port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def test_it_stands_in_front_of_all_workers(tmp_path: Path) -> None:
    command = tmp_path / "vllm-router"
    command.write_text(STANDS_IN.format(python=sys.executable))
    command.chmod(0o755)
    with vllm_router(command, ["http://a:1", "http://b:2"], tmp_path) as router:
        told = httpx.get(f"{router.url}/told", trust_env=False).json()
    assert told[told.index("--worker-urls") + 1 :] == ["http://a:1", "http://b:2"]
    assert told[told.index("--policy") + 1] == "consistent_hash"
    assert told[told.index("--prometheus-port") + 1] != told[told.index("--port") + 1]
