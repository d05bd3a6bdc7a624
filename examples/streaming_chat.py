"""A streaming chat about a published document with LangChain's stock ChatOpenAI, of which only the base URL is changed;
beside it the same with ChatKVProxy, to which the document is a name.

    python examples/streaming_chat.py            # --ask: type your own questions
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from _proxy import Endpoint, proxy, read
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

from langchain_kvproxy import ChatKVProxy, KVProxyClient

QUESTIONS = ("What is this license for?", "What does it say about patents?", "And about trademarks?")
INSTRUCTIONS = "Answer briefly from the text above."
ID = "examples/license-to-chat-about"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    arguments.add_argument("--document", default="apache-2.0.txt", help="a UTF-8 text")
    arguments.add_argument("--ask", action="store_true", help="take the questions from the terminal")
    arguments.add_argument("--max-tokens", type=int, default=32, help="of each answer")
    given = arguments.parse_args()
    with (
        proxy() as kv,
        KVProxyClient(kv.url, kv.api_key) as client,
        published(client, read(given.document)) as text,
    ):
        questions = list(iter(lambda: input("\nyou: "), "")) if given.ask else QUESTIONS
        run(kv, text, questions, given.max_tokens)


@contextmanager
def published(client: KVProxyClient, text: str) -> Iterator[str]:
    """Publish a document for the block, as `kvproxy publish` and `kvproxy docs delete` do."""
    result = client.publish(ID, text, visibility="private")
    print(f"published {ID}: {result['info']['tokens']:,} tokens in {result['prefill_s']:.2f} s")
    try:
        yield text
    finally:
        client.delete(ID)


def run(kv: Endpoint, text: str, questions: Iterable[str], max_tokens: int) -> None:
    settings: dict[str, Any] = {"model": kv.model, "base_url": kv.base_url, "api_key": kv.api_key}
    settings |= {"temperature": 0, "max_tokens": max_tokens}
    stock = ChatOpenAI(
        **settings, stream_usage=True
    )  # with a base URL of its own it asks for usage only if told to
    ours = ChatKVProxy(**settings, documents=[ID])
    instructions = SystemMessage(INSTRUCTIONS)
    documents_first = SystemMessage(f"{text}\n{INSTRUCTIONS}")
    questions = list(questions)
    first = chat("ChatOpenAI, the whole text in every request", stock, documents_first, questions)
    second = chat("ChatKVProxy, the document by its name", ours, instructions, questions)
    print(f"\nthe same conversation: {first == second}")


def chat(title: str, model: BaseChatModel, system: SystemMessage, questions: Iterable[str]) -> list[str]:
    """Print each answer as it comes, and return the answers."""
    print(f"\n{title}")
    # So that neither chat profits from the other's; leave it out in your program.
    salt = {"cache_salt": uuid.uuid4().hex}
    messages: list[BaseMessage] = [system]
    prompt = cached = 0
    for question in questions:
        messages.append(HumanMessage(question))
        print(f"  {question}\n    ", end="")
        started, first, answer = time.perf_counter(), 0.0, None
        for chunk in model.stream(messages, extra_body=salt):
            first = first or (time.perf_counter() - started if chunk.text else 0.0)
            print(chunk.text.replace("\n", " "), end="", flush=True)
            answer = chunk if answer is None else answer + chunk
        if not isinstance(answer, AIMessageChunk) or answer.usage_metadata is None:
            raise SystemExit("the stream told no usage; is this a kvproxy?")
        messages.append(answer)
        read = answer.usage_metadata["input_token_details"].get("cache_read", 0)
        sent = answer.usage_metadata["input_tokens"]
        print(f"\n    [{read:,} of {sent:,} prompt tokens cached, first token after {first:.3f} s]")
        prompt, cached = prompt + sent, cached + read
    print(f"saved: {cached:,} of {prompt:,} prompt tokens were cached ({cached / prompt:.1%})")
    return [m.text for m in messages if isinstance(m, AIMessageChunk)]


if __name__ == "__main__":
    main()
