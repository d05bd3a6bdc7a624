"""A proxy of a fleet in a process of its own: publishes, revokes and deletes until it is killed, and says what is done.

``python -m tests.publishing.fleet_worker URL MODEL FOLDER ROUND`` prints a line of JSON after each answer.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from pathlib import Path

from kvproxy.core import Caller, DocumentRef
from kvproxy.shared_responses.database_responses import DatabaseResponses
from tests.publishing.two_proxies import proxy_of_fleet

ALICE = Caller("alice", "tenant:a")
CONTESTED = "contested"
"""The id that every worker publishes."""


def text_of(name: str) -> str:
    return f"{name}: everyone shall do what the next rule says, and nothing else. " * 12


def say(*done: object) -> None:
    sys.stdout.write(json.dumps(done) + "\n")
    sys.stdout.flush()


async def work(url: str, model: Path, folder: Path, round: str) -> None:
    async with proxy_of_fleet(url, model, folder, disk=set()) as proxy:
        with DatabaseResponses(proxy.database, ttl_s=600, max_size=2**24) as responses:
            for number in itertools.count():
                name = f"own-{round}-{number}"
                await proxy.publish(name, text_of(name), "private", ALICE)
                say("published", name, 1)
                ref = await proxy.publish(CONTESTED, text_of(f"{round}, {number}"), "public", ALICE)
                say("published", CONTESTED, ref.version)
                await responses.put(ALICE.scope, name, name.encode())
                say("stored", name)
                if number % 3 == 0:
                    await proxy.publisher.delete(DocumentRef(name), ALICE)
                    say("deleted", name)
                elif number % 3 == 1:
                    await proxy.publisher.endings.revoke(DocumentRef(name, 1), ALICE, "over")
                    say("revoked", name)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
