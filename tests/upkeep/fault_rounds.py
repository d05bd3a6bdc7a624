"""``python -m tests.upkeep.fault_rounds --rounds N [--seed S]``: random faults in a real store, one after another.

Each round makes a store, breaks it, and holds four things against it: nothing acknowledged is lost that the fault did
not touch, nothing wrong is served, ``check`` finds what is broken, and ``repair`` mends it.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from kvproxy.store.page_results import Loaded
from tests.store.killed_worker import TOKENS, document, payload_of, stored_keys
from tests.store.test_kill_rounds import Story
from tests.upkeep.filled_store import FilledStore

Fault = Callable[[FilledStore, random.Random], None]


def flip_in_page(store: FilledStore, source: random.Random) -> None:
    """A bit of a page's file, its header and its last byte included."""
    path = source.choice(store.page_paths)
    _flip(path, source)
    found = store.check()
    assert len(found.bad_pages) == 1 and found.bad_pages[0].hex().endswith(path.stem)
    _all_texts(store)
    _mended(store)


def cut_page(store: FilledStore, source: random.Random) -> None:
    """A page's file that ends early, or is empty, or is gone."""
    path = source.choice(store.page_paths)
    size = path.stat().st_size
    length = source.choice([None, 0, source.randrange(size), size - 1])
    if length is None:
        path.unlink()
    else:
        os.truncate(path, length)
    assert len(store.check().bad_pages) == 1
    _all_texts(store)
    _mended(store)


def swap_pages(store: FilledStore, source: random.Random) -> None:
    """A sound page under another page's name."""
    one, other = source.sample(store.page_paths, 2)
    shutil.copy(one, other)
    assert len(store.check().bad_pages) == 1
    _all_texts(store)
    _mended(store)


def flip_in_index(store: FilledStore, source: random.Random) -> None:
    """A bit of the page index: it may lie in no row, and then nothing is broken."""
    _flip(store.folder / "pages" / "cache.db", source)
    store.check()
    _all_texts(store)
    _mended(store)


def flip_in_database(store: FilledStore, source: random.Random) -> None:
    """A bit of the database: what is lost is in a report, or it is left to a person."""
    _flip(store.folder / "kvproxy.sqlite3", source)
    found = store.check()
    done = store.repair()
    there = store.assert_nothing_wrong_is_served()
    if len(there) < len(store.texts):
        lost = [f"{id}@{version}" for id, version in store.texts.keys() - there.keys()]
        told = " ".join([*(f.line for f in (*found.faults, *done.left)), *done.notes])
        assert not there or all(ref in told for ref in lost), f"lost without a word: {lost}"
        assert found.faults, "broken, and not found"


def flip_in_responses(store: FilledStore, source: random.Random) -> None:
    """A bit of the stored responses."""
    _flip(store.folder / "responses" / "cache.db", source)
    store.check()
    _all_texts(store)
    _mended(store)


def kill_worker(store: FilledStore, source: random.Random) -> None:
    """kill -9 of a process that publishes and deletes, at a random moment."""
    shutil.rmtree(store.folder)
    story = Story()
    seed = source.randrange(2**31)
    command = [sys.executable, "-m", "tests.store.killed_worker", str(store.folder), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first == "begin open\n"
        time.sleep(source.uniform(0.05, 0.6))
        process.send_signal(signal.SIGKILL)
        story.hear([first, *process.stdout.readlines()])
    store.texts = {
        (id, version): document(id, version).text for id, version in story.publishing | story.published
    }
    found = store.check()
    assert all(fault.mending == "drop" for fault in found.faults), [f.line for f in found.faults]
    _mended(store)
    there = store.assert_nothing_wrong_is_served()
    assert story.published - story.deleting <= there.keys(), "acknowledged, and lost"
    assert not story.deleted & there.keys(), "deleted, and there"


def kill_eviction(store: FilledStore, source: random.Random) -> None:
    """kill -9 of a process that publishes into a full store, so that pages make room at each step."""
    shutil.rmtree(store.folder)
    command = [
        sys.executable,
        "-m",
        "tests.upkeep.evicting_worker",
        str(store.folder),
        str(source.randrange(2**31)),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begin\n"
        time.sleep(source.uniform(0.02, 0.4))
        process.send_signal(signal.SIGKILL)
        done = [line.split() for line in process.stdout.readlines()]
    found = store.check()
    # Room is made by a file, and then by its row: a kill between them leaves a row of a page that documents need, whose
    # file is gone, which is what eviction means.
    torn = [fault for fault in found.faults if fault.mending != "drop"]
    assert all(f.mending == "drop and recompute" and "No such file" in f.what for f in torn), [
        f.line for f in torn
    ]
    _mended(store)
    with store.open() as (pages, _):
        for id, version in ((line[0], int(line[1])) for line in done if len(line) == 2):
            for key in stored_keys(id, version):
                page = pages.get(key, b"", TOKENS)
                assert not isinstance(page, Loaded) or bytes(page.payload) == payload_of(key)
    assert store.check().sound


FAULTS: dict[str, Fault] = {
    "a flipped bit of a page": flip_in_page,
    "a cut page": cut_page,
    "swapped pages": swap_pages,
    "a flipped bit of the page index": flip_in_index,
    "a flipped bit of the database": flip_in_database,
    "a flipped bit of stored responses": flip_in_responses,
    "kill -9 of publish and delete": kill_worker,
    "kill -9 of eviction": kill_eviction,
}


def run_rounds(rounds: int, seed: int, names: tuple[str, ...] = tuple(FAULTS)) -> Counter[str]:
    """Run rounds of the named faults in turn; return how many of each. The seed of a round that fails is in its
    error."""
    done: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        original = FilledStore.make(Path(folder) / "original")
        for number in range(rounds):
            name = names[number % len(names)]
            broken = Path(folder) / f"round-{number}"
            shutil.copytree(original.folder, broken, symlinks=True)
            try:
                FAULTS[name](FilledStore(broken, dict(original.texts)), random.Random(f"{seed}/{number}"))
            except Exception as e:
                raise AssertionError(f"round {number} of seed {seed}, {name}: {e}") from e
            shutil.rmtree(broken, ignore_errors=True)
            done[name] += 1
    return done


def _flip(path: Path, source: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    path.write_bytes(data)


def _all_texts(store: FilledStore) -> None:
    """Nothing wrong is served, and no document is lost by a fault that touched none."""
    assert store.assert_nothing_wrong_is_served().keys() == store.texts.keys()


def _mended(store: FilledStore) -> None:
    done = store.repair()
    assert done.left == (), [fault.line for fault in done.left]
    assert store.check().sound


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    done = run_rounds(chosen.rounds, chosen.seed)
    for name, count in done.items():
        print(f"{count:5} rounds of {name}")  # noqa: T201  # a program's output
    seconds = time.monotonic() - began
    print(f"seed {chosen.seed}: nothing lost, nothing wrong, all mended, in {seconds:.0f} s")  # noqa: T201  # as above


if __name__ == "__main__":
    main()
