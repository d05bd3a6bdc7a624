"""More clients than a server can serve: big and small requests, warm and cold, and half of them leave."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp

ANSWER_S = 300.0
"""A request that has not ended by then counts as one that never does."""
_REFUSED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Crowd:
    """``keys``: one tenant each; ``documents``: texts that are published already."""

    url: str
    model: str
    keys: Sequence[str]
    documents: Sequence[str]
    words: Sequence[str]
    clients: int
    longest_characters: int
    """Of a cold prompt."""
    seed: int = 0


@dataclass(slots=True)
class Tally:
    """Outcomes of the requests."""

    ended: Counter[str] = field(default_factory=Counter)
    """``answered``, ``left`` (by the client), ``429``, ``503``, ``wrong``."""
    kinds: Counter[str] = field(default_factory=Counter)
    cached_tokens: int = 0
    prompt_tokens: int = 0
    wrong: list[str] = field(default_factory=list)
    """The first few that ended in no way that was promised."""

    def fault(self, what: str) -> None:
        """Count a wrong answer, and keep the descriptions of the first few."""
        self.ended["wrong"] += 1
        if len(self.wrong) < _EXAMPLES:
            self.wrong.append(what)


async def overload(crowd: Crowd, seconds: float) -> Tally:
    """Send until the time is over, then wait for the open requests."""
    tally = Tally()
    until = asyncio.get_running_loop().time() + seconds
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30.0)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        asyncio.TaskGroup() as all_,
    ):
        for number in range(crowd.clients):
            all_.create_task(_AnswerReader(crowd, number, session, tally).run(until))
    return tally


class _AnswerReader:
    """One client, which asks again and again."""

    def __init__(self, crowd: Crowd, number: int, session: aiohttp.ClientSession, tally: Tally) -> None:
        self._crowd, self._session, self._tally = crowd, session, tally
        self._source = random.Random(crowd.seed * 1000 + number)
        self._leaves = number % 2 == 1
        key = crowd.keys[number % len(crowd.keys)]
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._talk: list[dict[str, str]] = []

    async def run(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            kind, messages = self._next()
            self._tally.kinds[kind] += 1
            body = {
                "model": self._crowd.model,
                "messages": messages,
                "max_tokens": self._source.choice([1, 8, 8, 24, 64]),
                "stream": self._source.random() < 0.6,
                "temperature": self._source.choice([0.0, 1.0]),
            }
            patience = self._source.uniform(0.05, 4.0) if self._leaves else ANSWER_S
            try:
                async with asyncio.timeout(patience):
                    wait = await self._ask(body)
            except TimeoutError:
                if self._leaves:
                    self._tally.ended["left"] += 1
                else:
                    self._tally.fault(f"a {kind} request had no end after {ANSWER_S:.0f} s")
                wait = 0.0
            except aiohttp.ClientError as e:
                self._tally.fault(f"a {kind} request: {type(e).__name__}: {e}")
                wait = 0.2
            await asyncio.sleep(wait)

    def _next(self) -> tuple[str, list[dict[str, str]]]:
        chosen = self._source.random()
        question = {"role": "user", "content": self._text(60)}
        if chosen < 0.35:
            document = self._source.choice(self._crowd.documents)
            return "document", [{"role": "system", "content": document}, question]
        if chosen < 0.5:
            return "cold, big", [{"role": "user", "content": self._text(self._crowd.longest_characters)}]
        if chosen < 0.75:
            return "small", [question]
        if len(self._talk) > 8:
            self._talk = []
        if self._talk:
            self._talk.append({"role": "assistant", "content": self._text(200)})
        self._talk.append({"role": "user", "content": self._text(400)})
        return "conversation", list(self._talk)

    def _text(self, most: int) -> str:
        """Up to so many characters of nonsense."""
        wanted = self._source.randrange(most // 2, most)
        return " ".join(self._source.choices(self._crowd.words, k=wanted // 6 + 1))[:wanted]

    async def _ask(self, body: Mapping[str, Any]) -> float:
        """Seconds to wait before the next request."""
        url = f"{self._crowd.url}/v1/chat/completions"
        async with self._session.post(url, data=json.dumps(body).encode(), headers=self._headers) as answer:
            data = await answer.read()
            if answer.status in _REFUSED:
                after = answer.headers.get("Retry-After", "")
                if not after.isdigit():
                    self._tally.fault(f"{answer.status} with Retry-After {after!r}")
                self._tally.ended[str(answer.status)] += after.isdigit()
                return 0.3  # sooner than asked: this is an overload
            if answer.status != HTTPStatus.OK:
                self._tally.fault(f"{answer.status}: {data[:300]!r}")
            elif not (data.endswith(b"data: [DONE]\n\n") if body["stream"] else data.endswith(b"}")):
                self._tally.fault(f"an answer ended with {data[-300:]!r}")
            else:
                self._answered(data, bool(body["stream"]))
        return 0.0

    def _answered(self, data: bytes, stream: bool) -> None:
        self._tally.ended["answered"] += 1
        if not stream:
            usage = json.loads(data)["usage"]
            self._tally.prompt_tokens += usage["prompt_tokens"]
            self._tally.cached_tokens += usage["prompt_tokens_details"]["cached_tokens"]
