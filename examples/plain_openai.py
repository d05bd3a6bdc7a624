"""The plain openai client: a document is published once, and every question about it is answered without reading it
again. Nothing but the base URL differs from any other program.

    python examples/plain_openai.py
"""

from __future__ import annotations

import argparse
import time
import uuid
from dataclasses import dataclass
from typing import Any

import httpx
from _proxy import Endpoint, proxy, read
from openai import OpenAI

QUESTIONS = (
    "What does this license say about patents?",
    "Who may use the trademarks of the Licensor?",
    "What must be kept when the work is redistributed?",
)
INSTRUCTIONS = "\nAnswer in one sentence from the text above."
ID = "examples/license"


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    ttft_s: float
    """Seconds from sending the request to the first piece of text."""
    prompt_tokens: int
    cached_tokens: int


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    arguments.add_argument("--document", default="apache-2.0.txt", help="a UTF-8 text")
    arguments.add_argument("--max-tokens", type=int, default=32, help="of each answer")
    given = arguments.parse_args()
    with proxy() as kv:
        run(kv, read(given.document), given.max_tokens)


def run(kv: Endpoint, document: str, max_tokens: int) -> None:
    client = OpenAI(base_url=kv.base_url, api_key=kv.api_key)

    text = f"{document}\n{INSTRUCTIONS}"  # the proxy joins parts with a newline too
    name = [{"type": "kv_document", "document": ID}, {"type": "text", "text": INSTRUCTIONS}]

    def ask(what: str, system: Any, question: str) -> Answer:
        answer = streamed(client, kv.model, system, question, max_tokens)
        told = f"{answer.prompt_tokens:>8,}{answer.cached_tokens:>8,}{answer.ttft_s:>9.3f} s"
        print(f"{what:<22}{told}  {question}")
        return answer

    print(f"{'':<22}{'prompt':>8}{'cached':>8}{'TTFT':>11}  question")
    ask("opens the connection", "Answer in one word.", "Say hello.")
    cold = ask("not published", text, QUESTIONS[0])
    publish(kv, document)
    try:
        warm = [ask("published, as text", text, question) for question in QUESTIONS]
        warm += [ask("published, by its name", name, QUESTIONS[0])]
    finally:
        httpx.delete(f"{kv.url}/kv/v1/documents/{ID}", headers=bearer(kv)).raise_for_status()
    prompt, cached = sum(a.prompt_tokens for a in warm), sum(a.cached_tokens for a in warm)
    best = sorted(a.ttft_s for a in warm)[len(warm) // 2]
    print(f"saved: {cached:,} of {prompt:,} prompt tokens were cached ({cached / prompt:.1%})")
    ratio = cold.ttft_s / best
    print(f"saved: the first token came after {best:.3f} s instead of {cold.ttft_s:.3f} s ({ratio:.1f}x)")
    equal = cold.text == warm[0].text == warm[-1].text
    print(f"equal answers, published or not, as text or by name: {equal}")
    print(f"answer: {cold.text.strip()}")


def publish(kv: Endpoint, text: str) -> None:
    """Publish a document, as `kvproxy publish FILE --id ID --private` does."""
    body = {"id": ID, "text": text, "visibility": "private"}
    answer = httpx.post(f"{kv.url}/kv/v1/documents", json=body, headers=bearer(kv), timeout=600)
    answer.raise_for_status()
    result = answer.json()
    print(
        f"published {ID}: {result['info']['tokens']:,} tokens in {result['prefill_s']:.2f} s, once for all readers"
    )


def streamed(client: OpenAI, model: str, system: Any, question: str, max_tokens: int) -> Answer:
    started, first, parts, usage = time.perf_counter(), None, [], None
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "system", "content": system}, {"role": "user", "content": question}],
        temperature=0,
        max_tokens=max_tokens,
        stream=True,
        stream_options={"include_usage": True},
        # So that no question profits from another; leave it out in your program.
        extra_body={"cache_salt": uuid.uuid4().hex},
    )
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            first = first or time.perf_counter()
            parts.append(chunk.choices[0].delta.content)
        usage = chunk.usage or usage
    if usage is None or usage.prompt_tokens_details is None:
        raise SystemExit("no usage came at the end of the stream; is this a kvproxy?")
    cached = usage.prompt_tokens_details.cached_tokens or 0
    return Answer("".join(parts), (first or time.perf_counter()) - started, usage.prompt_tokens, cached)


def bearer(kv: Endpoint) -> dict[str, str]:
    return {"authorization": f"Bearer {kv.api_key}"}


if __name__ == "__main__":
    main()
