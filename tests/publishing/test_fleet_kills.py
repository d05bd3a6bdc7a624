"""kill -9 of one proxy at any moment: the other goes on at once, and nothing that was answered is lost."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kvproxy.core import DocumentRef
from kvproxy.shared_responses.database_responses import DatabaseResponses
from tests.database.postgres import new_schema
from tests.documents.models import write_model
from tests.publishing.fleet_worker import ALICE, CONTESTED, text_of
from tests.publishing.two_proxies import ProxyOfFleet, proxy_of_fleet, until

ROUNDS = 5


@dataclass
class Told:
    """The answers of the workers."""

    contested: list[int] = field(default_factory=list)
    own: dict[str, str] = field(default_factory=dict)
    """By id of a worker's own document: the latest that was answered."""
    stored: list[str] = field(default_factory=list)

    def note(self, line: bytes) -> None:
        what, name, *version = json.loads(line)
        if what == "stored":
            self.stored.append(name)
        elif name == CONTESTED:
            self.contested += version
        else:
            self.own[name] = what


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "qwen3")


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    with new_schema(postgres_url) as url:
        yield url


async def killed(url: str, model: Path, folder: Path, told: Told, round: int, chance: random.Random) -> None:
    """Start a worker, and kill it some time after some answers."""
    command = [
        sys.executable,
        "-m",
        "tests.publishing.fleet_worker",
        url,
        str(model),
        str(folder),
        str(round),
    ]
    worker = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert worker.stdout is not None
    for _ in range(chance.randint(3, 15)):
        line = await worker.stdout.readline()
        assert line, "it has ended by itself"
        told.note(line)
    await asyncio.sleep(chance.uniform(0, 0.1))  # the moment of the kill is what varies
    worker.kill()
    for line in (await worker.stdout.read()).splitlines():
        told.note(line)
    await worker.wait()


async def contest(proxy: ProxyOfFleet, told: Told, ended: asyncio.Event) -> None:
    while not ended.is_set():
        ref = await proxy.publish(
            CONTESTED, text_of(f"the one that lives, {len(told.contested)}"), "public", ALICE
        )
        told.contested.append(ref.version or 0)
        await asyncio.sleep(0.1)


async def another_version(told: Told, contesting: asyncio.Task[None]) -> None:
    before = len(told.contested)
    await until(lambda: contesting.done() or len(told.contested) > before)


@pytest.mark.slow  # a start for each kill
async def test_a_kill_loses_nothing_that_was_answered_and_stops_nobody(
    url: str, model: Path, tmp_path: Path
) -> None:
    chance, told, ended = random.Random(5), Told(), asyncio.Event()
    async with proxy_of_fleet(url, model, tmp_path / "lives", disk=set()) as proxy:
        contesting = asyncio.create_task(contest(proxy, told, ended))
        for round in range(ROUNDS):
            await killed(url, model, tmp_path / "dies", told, round, chance)
            await another_version(told, contesting)  # its lock is free
        ended.set()
        await contesting
        found = {entry.document.version for entry in proxy.registry.named(CONTESTED).entries}
        assert len(told.contested) == len(set(told.contested)), "no number was given twice"
        assert set(told.contested) <= found and max(found) <= len(told.contested) + ROUNDS
        await until(lambda: len(proxy.library.of_name(CONTESTED)) == len(found))
        await until(lambda: all(state_of(proxy, name) in further(what) for name, what in told.own.items()))
        with DatabaseResponses(proxy.database, ttl_s=600, max_size=2**24) as responses:
            for name in told.stored:
                assert await responses.get(ALICE.scope, name) == name.encode()
    assert told.own and told.stored


def state_of(proxy: ProxyOfFleet, name: str) -> str:
    """Return what the other proxy makes of a document."""
    ref = DocumentRef(name, 1, ALICE.scope)
    if proxy.library.find(ref) is not None:
        return "published"
    return "revoked" if proxy.library.withdrawn.find(ref) is not None else "deleted"


def further(what: str) -> tuple[str, ...]:
    """Return the states that a document may be in after the last one that was answered: the kill may have cut off the
    next answer, and not what it was of."""
    return ("published", "revoked", "deleted") if what == "published" else (what,)
