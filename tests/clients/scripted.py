"""A fake proxy for clients in other processes: what its model says is named by the words of the question."""

from __future__ import annotations

from kvproxy.backends.base import Generation
from kvproxy.errors import KVProxyError
from tests.server.doubles import Proxy, make_proxy

CONTEXT = 16_384

_CALL = '<tool_call>\n{"name": "weather", "arguments": {"town": "Bern"}}\n</tool_call>'


def scripted_proxy() -> Proxy:
    """Its prompts say that the model may think."""
    proxy = make_proxy(max_context=CONTEXT)
    proxy.composer.reasoning = "may"
    proxy.backend.scripted = _said
    return proxy


def _said(generation: Generation) -> str | None:
    """None where the fake model may say what it likes."""
    constraint = generation.constraint
    forced = constraint is not None and constraint.choice.mode == "required"
    text = "".join(chr(i) for i in generation.prompt.token_ids if i < 0x110000)
    if "Break off." in text:
        raise KVProxyError("It broke.")
    if '"celsius":20' in text.replace(" ", "")[-400:]:
        return "Twenty degrees."
    if "Call the tool." in text and not forced:
        return _CALL
    if "Think first." in text:
        return "<think>Of towns.</think>\n\nIt is Bern."
    return None
