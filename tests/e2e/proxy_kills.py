"""kill -9 of one of two proxies under publishes, deletes, answers and stored responses, while the other goes on."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from tests.e2e.proxy_pair import ALICE
from tests.e2e.reader import MODEL, Reader, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system

_RESPONSE = {"model": MODEL, "input": "Say something.", "max_output_tokens": 16, "store": True}


@dataclass
class Killed:
    """The answers that the clients were given."""

    documents: dict[str, tuple[bool | None, str]] = field(default_factory=dict)
    """By id: there, gone, or (None) not known, since the answer did not come; and the text."""
    responses: list[str] = field(default_factory=list)
    """Stored responses that were read back before the kill."""
    answers: set[str] = field(default_factory=set)
    """Ids of answers that came whole."""


def kill_under_load(doomed: Served, other: Served, tally: Killed, round: int, chance: random.Random) -> None:
    """Load both, kill ``doomed`` at any moment, see that ``other`` changes the same documents at once, and start the
    killed one again."""
    ended = threading.Event()
    threads = [
        threading.Thread(target=_client, args=(proxy.url, work, tally, ended))
        for proxy in (doomed, other)
        for work in (_publisher(round, proxy is doomed), _asker)
    ]
    for thread in threads:
        thread.start()
    time.sleep(chance.uniform(1.0, 4.0))  # the moment of the kill is what varies
    doomed.kill()
    try:
        with reader(other.url, ALICE) as client:
            for id in [id for id, (there, _) in tally.documents.items() if there is None]:
                _publish(
                    client, id, document(f"again {id}", 300), tally
                )  # whatever lock it was under is free
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    doomed.start()


def _client(url: str, work: Callable[[Reader, Killed], None], tally: Killed, ended: threading.Event) -> None:
    with reader(url, ALICE) as client:
        while not ended.is_set():
            try:
                work(client, tally)
            except httpx.TransportError:
                return


def _publisher(round: int, doomed: bool) -> Callable[[Reader, Killed], None]:
    numbers = iter(range(10**6))

    def work(client: Reader, tally: Killed) -> None:
        number = next(numbers)
        id = f"kill-{round}-{'d' if doomed else 'o'}-{number}"
        _publish(client, id, document(id, 300), tally)
        if number % 3 == 0:
            before = tally.documents[id]
            tally.documents[id] = (None, before[1])
            if client.http.delete(f"/kv/v1/documents/{id}").status_code == 200:
                tally.documents[id] = (False, "")

    return work


def _publish(client: Reader, id: str, text: str, tally: Killed) -> None:
    tally.documents[id] = (None, text)
    made = client.http.post("/kv/v1/documents", json={"id": id, "text": text, "visibility": "private"})
    assert made.status_code == 201, made.text
    tally.documents[id] = (True, text)


def _asker(client: Reader, tally: Killed) -> None:
    messages = in_system(document("asked", 300), "What may be copied?")
    body = {"model": MODEL, "messages": messages, "max_tokens": 4}
    answer = client.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    tally.answers.add(answer.json()["id"])
    stored = client.http.post("/v1/responses", json=_RESPONSE)
    assert stored.status_code == 200, stored.text
    id = stored.json()["id"]
    tally.answers.add(id)
    if client.http.get(f"/v1/responses/{id}").status_code == 200:
        tally.responses.append(id)
