"""`explain_prompt` agrees with the proxy about a text's spelling: the predicted hit or miss happens."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from langchain_kvproxy import ChatKVProxy, KVProxyClient, explain_prompt

from .test_agent_loop import environment

__all__ = ["environment"]

SENT: dict[str, Callable[[str], str]] = {
    "as published": lambda text: text,
    "stripped": str.strip,
    "other line ends": lambda text: (
        text.replace("\r\n", "\n") if "\r" in text else text.replace("\n", "\r\n")
    ),
    "without its mark": lambda text: text.removeprefix("\ufeff"),
    "one space more": lambda text: text.replace(" ", "  ", 1),
}


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("front", ["", "\n\n    ", "\ufeff"])
def test_a_spelling_that_is_said_to_be_found_is_found_and_no_other(
    environment: dict[str, str], front: str, sent: str
) -> None:
    name = f"spelled-{uuid.uuid4().hex[:8]}"
    end = "\r\n" if "\r" in front else "\n"
    text = front + end.join(f"Rule {i} of {name}: after {i} years it is {i + 20} days" for i in range(10))
    model = ChatKVProxy(**environment, max_tokens=1)
    with KVProxyClient(environment["base_url"]) as client:
        tokens = client.publish(name, text)["info"]["tokens"]
        try:
            prompt = [SystemMessage(SENT[sent](text)), HumanMessage("How many days?")]
            explanation = explain_prompt(prompt, client=client)
            usage = model.invoke(prompt).usage_metadata
        finally:
            client.delete(name)
    assert usage is not None
    cached = usage["input_token_details"].get("cache_read", 0)
    assert explanation.ok == (cached >= tokens - 40), f"{cached} of {tokens} cached\n{explanation}"
    if not explanation.ok:
        assert f" of its {tokens} tokens are found again" in str(explanation)
