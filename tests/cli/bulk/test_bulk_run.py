from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest

from kvproxy.cli.bulk.bulk_run import BulkOptions, BulkResult, BulkRun, read_file
from kvproxy.cli.bulk.bulk_sources import BulkSource, plan_sources
from kvproxy.client import RequestFailed
from kvproxy.errors import SetupError


class Documents:
    """A client whose proxy keeps texts in a dictionary."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.sent: list[str] = []
        self.refusals: list[RequestFailed] = []
        self.running = self.most = 0
        self._lock = threading.Lock()

    def documents(self) -> list[dict[str, Any]]:
        return [
            {
                "id": id,
                "etag": hashlib.sha256(t.encode()).hexdigest(),
                "visibility": "public",
                "current": True,
            }
            for id, t in self.texts.items()
        ]

    def publish(self, document: str, text: str, **_: Any) -> dict[str, Any]:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.sent.append(document)
            refusal = self.refusals.pop() if self.refusals else None
        try:
            if refusal is not None:
                raise refusal
            created = self.texts.get(document) != text
            self.texts[document] = text
            info = {"id": document, "version": 1, "tokens": len(text)}
            return {"info": info, "created": created, "prefill_s": 0.5, "computed_tokens": 1}
        finally:
            with self._lock:
                self.running -= 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        (tmp_path / f"t{number}.md").write_text(f"Text {number}.")
    return tmp_path


def no_fetch(url: str) -> str:
    raise AssertionError(url)


def run(client: Documents, folder: Path, **options: Any) -> dict[str, BulkResult]:
    chosen = BulkOptions(options.pop("chosen", {}), 1000, **options)
    bulk = BulkRun(client, chosen, no_fetch, sleep=lambda _: None)
    return {Path(r.source.where).name: r for r in bulk.results(plan_sources([str(folder)]))}


def test_all_are_published_a_few_at_a_time(folder: Path) -> None:
    client = Documents()
    found = run(client, folder, parallel=2)
    assert [found[f"t{n}.md"].outcome for n in range(6)] == ["published"] * 6
    assert client.most <= 2 and client.texts["t3"] == "Text 3."


def test_what_is_published_already_is_not_sent_again(folder: Path) -> None:
    client = Documents()
    run(client, folder)
    (folder / "t2.md").write_text("Changed.")
    client.sent.clear()
    found = run(client, folder)
    assert client.sent == ["t2"] and found["t1.md"].outcome == "unchanged"
    client.sent.clear()
    run(client, folder, chosen={"visibility": "private"})
    assert len(client.sent) == 6, "another visibility is another version"
    client.sent.clear()
    run(client, folder, chosen={"pinned": True})
    assert len(client.sent) == 6, "a pin is set even where the text stays"


def test_a_run_that_was_cut_short_goes_on_where_it_ended(folder: Path) -> None:
    client = Documents()
    bulk = BulkRun(client, BulkOptions({}, 1000, parallel=1), no_fetch)
    results = bulk.results(plan_sources([str(folder)]))
    next(results)
    results.close()
    sent = len(client.sent)
    assert sent < 6
    found = run(client, folder)
    assert len(client.sent) == 6 and sorted(client.texts) == [f"t{n}" for n in range(6)]
    assert sum(r.outcome == "unchanged" for r in found.values()) == sent


def test_a_dry_run_sends_nothing(folder: Path) -> None:
    client = Documents()
    client.texts["t1"] = "Text 1."
    found = run(client, folder, dry_run=True)
    assert client.sent == []
    assert (found["t0.md"].outcome, found["t1.md"].outcome) == ("would publish", "unchanged")


def test_a_failure_is_the_source_s_own(folder: Path) -> None:
    (folder / "t0.md").write_bytes(b"\xff\xfe\x00")
    (folder / "t1.md").write_text("")
    (folder / "t2.md").write_text("x" * 2000)
    (folder / "t3.md").write_bytes(b"a\0b")
    client = Documents()
    client.refusals = [RequestFailed("no", answered=400)]
    found = run(client, folder, parallel=1)
    assert [found[f"t{n}.md"].outcome for n in range(6)].count("failed") == 5
    assert "--max-size" in found["t2.md"].note and "NUL" in found["t3.md"].note
    assert (
        "empty" in found["t1.md"].note
        and found["t4.md"].note == "no"
        and found["t5.md"].outcome == "published"
    )


def test_a_busy_proxy_is_asked_again_and_not_for_ever(folder: Path) -> None:
    client = Documents()
    client.refusals = [RequestFailed("busy", answered=429, retry_after_s=1) for _ in range(3)]
    assert {r.outcome for r in run(client, folder, parallel=1).values()} == {"published"}
    client = Documents()
    client.refusals = [RequestFailed("busy", answered=429, retry_after_s=1) for _ in range(6)]
    assert [r.outcome for r in run(client, folder, parallel=1).values()].count("failed") == 1


def test_a_source_without_an_id_is_a_failure_and_is_not_read() -> None:
    bulk = BulkRun(Documents(), BulkOptions({}, 10), no_fetch)
    (found,) = bulk.results([BulkSource("https://a/x", "", "no id")])
    assert (found.outcome, found.note) == ("failed", "no id")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        read_file(str(tmp_path / "gone"), 10)
