"""Bodies of requests to a fake replica."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from kvproxy.fake_replica.vllm_errors import VllmError, malformed


async def json_object(request: web.Request) -> dict[str, Any]:
    """Read a body that is a JSON object. Raises VllmError with vLLM's errors otherwise."""
    if request.content_type != "application/json":
        raise VllmError(malformed("Unsupported Media Type: Only 'application/json' is allowed"))
    try:
        body = json.loads(await request.read())
    except json.JSONDecodeError as e:
        raise VllmError(malformed("JSON decode error", f"body.{e.pos}", kind="json_invalid")) from e
    if not isinstance(body, dict):
        raise VllmError(malformed("Input should be a valid dictionary", "body", kind="dict_type"))
    return body
