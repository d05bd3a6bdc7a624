"""Eight agents read one handbook at the same moment, and it is computed once.

Nothing is published or coordinated: each agent is a thread with a stock openai client that sends the whole text
with a question of its own. The first to come has it computed, the others wait for that and go on from there. Between
different API keys a text is shared once it is published (`kvproxy publish`).

    python examples/eight_agents.py
"""

from __future__ import annotations

import argparse
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from _proxy import Endpoint, proxy, read
from openai import OpenAI

QUESTIONS = (
    "What is a Contribution?",
    "Who is the Licensor?",
    "Which copyright license is granted?",
    "When does the patent license end?",
    "What must a copy of the work include?",
    "May the trademarks be used?",
    "Is there any warranty?",
    "Who is liable for damages?",
)


@dataclass(frozen=True, slots=True)
class Reading:
    question: str
    seconds: float
    prompt_tokens: int
    cached_tokens: int
    status: str
    """Return the proxy's outcome: a hit, a miss, or sharing another request's prefill (``collapsed``)."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    arguments.add_argument("--handbook", default="apache-2.0.txt", help="a UTF-8 text")
    arguments.add_argument("--max-tokens", type=int, default=16, help="of each answer")
    given = arguments.parse_args()
    with proxy() as kv:
        run(kv, read(given.handbook), given.max_tokens)


def run(kv: Endpoint, handbook: str, max_tokens: int) -> None:
    client = OpenAI(base_url=kv.base_url, api_key=kv.api_key, max_retries=0)
    client.models.list()

    def ask(question: str, salt: str) -> Reading:
        started = time.perf_counter()
        raw = client.chat.completions.with_raw_response.create(
            model=kv.model,
            messages=[
                {"role": "system", "content": f"{handbook}\n\nAnswer briefly from the text above."},
                {"role": "user", "content": question},
            ],
            temperature=0,
            max_tokens=max_tokens,
            extra_body={"cache_salt": salt},
        )
        usage = raw.parse().usage
        if usage is None or usage.prompt_tokens_details is None:
            raise SystemExit("the answer tells no usage; is this a kvproxy?")
        cached = usage.prompt_tokens_details.cached_tokens or 0
        status = raw.headers.get("cache-status", "").removeprefix("kvproxy; ")
        return Reading(question, time.perf_counter() - started, usage.prompt_tokens, cached, status)

    alone = ask(QUESTIONS[0], uuid.uuid4().hex)  # its salt keeps it apart from the requests below
    print(f"one agent alone, nothing known: {alone.prompt_tokens:,} tokens, {alone.seconds:.2f} s")
    together = uuid.uuid4().hex
    gate = threading.Barrier(len(QUESTIONS))

    def agent(question: str) -> Reading:
        gate.wait()
        return ask(question, together)

    with ThreadPoolExecutor(len(QUESTIONS)) as agents:
        for title, questions in (
            ("eight agents at once, nothing known", QUESTIONS),
            ("the same eight, each with its next question", tuple(f"{q} Quote the text." for q in QUESTIONS)),
        ):
            started = time.perf_counter()
            readings = list(agents.map(agent, questions))
            report(title, readings, alone, time.perf_counter() - started)


def report(title: str, readings: list[Reading], alone: Reading, wall_s: float) -> None:
    print(f"\n{title}: {wall_s:.2f} s")
    for r in sorted(readings, key=lambda r: r.seconds):
        print(f"{r.prompt_tokens:>8,} tokens {r.cached_tokens:>7,} cached {r.seconds:>7.2f} s", end="  ")
        print(f"{r.question}  [{r.status}]")
    prompt, cached = sum(r.prompt_tokens for r in readings), sum(r.cached_tokens for r in readings)
    one_by_one = alone.seconds * len(readings)
    print(
        f"saved: {cached:,} of {prompt:,} prompt tokens were cached ({cached / prompt:.1%}); {len(readings)} agents "
        f"that each have it computed, one after the other: {one_by_one:.2f} s ({one_by_one / wall_s:.1f}x)"
    )


if __name__ == "__main__":
    main()
