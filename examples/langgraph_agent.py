"""A LangGraph agent over a published document: the document stands at the front of every step of its loop, so that no
step reads it again. The small model would not call a tool by itself, so the first step is made to.

    python examples/langgraph_agent.py
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from _proxy import Endpoint, proxy, read
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, ModelResponse, wrap_model_call
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool

from langchain_kvproxy import ChatKVProxy, KVDocumentsMiddleware, KVProxyClient

QUESTIONS = ("Which section is about trademarks?", "What does the license say about patents?")
INSTRUCTIONS = "You look up the section that a question is about, and answer from it in one sentence."
ID = "examples/license-of-an-agent"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    arguments.add_argument("--document", default="apache-2.0.txt", help="a UTF-8 text with numbered sections")
    arguments.add_argument("--max-tokens", type=int, default=48, help="of each step")
    given = arguments.parse_args()
    text = read(given.document)
    with proxy() as kv, KVProxyClient(kv.url, kv.api_key) as client, published(client, text):
        run(kv, text, given.max_tokens)


@contextmanager
def published(client: KVProxyClient, text: str) -> Iterator[None]:
    """Publish a document for the block, as `kvproxy publish` and `kvproxy docs delete` do."""
    result = client.publish(ID, text, visibility="private")
    print(f"published {ID}: {result['info']['tokens']:,} tokens in {result['prefill_s']:.2f} s")
    try:
        yield
    finally:
        client.delete(ID)


def run(kv: Endpoint, text: str, max_tokens: int) -> None:
    model = ChatKVProxy(
        model=kv.model, base_url=kv.base_url, api_key=kv.api_key, temperature=0, max_tokens=max_tokens
    )
    agent = create_agent(
        model,
        [section_tool(text)],
        system_prompt=INSTRUCTIONS,
        middleware=[look_up_first, KVDocumentsMiddleware([ID])],
    )
    prompt = cached = 0
    for question in QUESTIONS:
        print(f"\n{question}")
        started = time.perf_counter()
        asked: Any = {"messages": [HumanMessage(question)]}
        for update in agent.stream(asked, stream_mode="updates"):
            for message in messages_of(update):
                print(f"{time.perf_counter() - started:7.2f} s  {told(message)}")
                if isinstance(message, AIMessage) and message.usage_metadata is not None:
                    prompt += message.usage_metadata["input_tokens"]
                    cached += message.usage_metadata["input_token_details"].get("cache_read", 0)
                started = time.perf_counter()
    print(f"\nsaved: {cached:,} of {prompt:,} prompt tokens were cached ({cached / prompt:.1%})")


def section_tool(text: str) -> BaseTool:
    found = re.split(r"^ *(\d+)\. +(?=[A-Z])", text, flags=re.M)[1:]
    sections = {
        int(number): " ".join(said.split()) for number, said in zip(found[::2], found[1::2], strict=True)
    }
    if not sections:
        raise SystemExit("this document has no numbered sections")

    @tool
    def section(number: int) -> str:
        """The first lines of a numbered section of the document."""
        if number not in sections:
            return f"there is no section {number}; there are {', '.join(map(str, sections))}"
        return sections[number][:200]

    return section


@wrap_model_call
def look_up_first(
    request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
) -> ModelResponse[Any]:
    """Force the tool in the first step of a loop and take it away afterwards."""
    looked_up = any(isinstance(message, ToolMessage) for message in request.messages)
    return handler(request.override(tool_choice="none" if looked_up else "section"))


def messages_of(update: Any) -> list[Any]:
    return [message for state in update.values() if state for message in state.get("messages", ())]


def told(message: Any) -> str:
    if isinstance(message, ToolMessage):
        return f"tool: {message.text[:70]} …"
    calls = ", ".join(f"{call['name']}({call['args']})" for call in message.tool_calls)
    said = calls or " ".join(message.text.split())
    usage = message.usage_metadata
    return f"model: {said}  [{usage['input_token_details'].get('cache_read', 0):,} of {usage['input_tokens']:,} cached]"


if __name__ == "__main__":
    main()
