"""A program that settles requests until it is killed: ``python -m tests.ledger.settling_program FOLDER URL NUMBER``.

Each request is promised on stdout, after its settlement as the last event of an answer is, as ``id tokens``.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from itertools import count
from pathlib import Path

from kvproxy.database.database import Database
from kvproxy.errors import PaymentRequired
from kvproxy.ledger.ledger import Ledger
from tests.ledger.made_bookings import booking, hold_request, metered

STREAMS = 8
"""Requests that run at one time: so many may be settled and not promised when the program is killed."""


async def stream(ledger: Ledger, name: str, chance: random.Random) -> None:
    for number in count():
        id = f"{name}-{number}"
        try:
            hold = await ledger.hold(hold_request(id, 20_000))
        except PaymentRequired:
            await ledger.credit("alice", 500_000, "admin", id=f"more-{id}")
            continue
        with hold:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            if chance.random() < 0.2:
                continue  # a request that failed
            tokens = metered(cached=20 * chance.randrange(3), fresh=chance.randrange(20), completion=1)
            hold.settle(booking(id, tokens))
            os.write(1, f"{id} {tokens.prompt_tokens} {tokens.cached_tokens}\n".encode())


async def main(folder: Path, url: str | None, run: str) -> None:
    with Database.open(url, folder) as database:
        async with Ledger.open(database, folder) as ledger:
            async with asyncio.TaskGroup() as streams:
                for number in range(STREAMS):
                    name = f"{run}-{number}"
                    streams.create_task(stream(ledger, name, random.Random(name)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] or None, sys.argv[3]))
