"""`BulkRun`: publishes many texts, a few at a time, and leaves out those that are published already."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from kvproxy.cli.bulk.bulk_sources import BulkSource
from kvproxy.cli.options import decode_text
from kvproxy.errors import KVProxyError, SetupError

_ATTEMPTS = 6
_LONGEST_WAIT_S = 60.0

Outcome = Literal["published", "unchanged", "would publish", "failed"]


@dataclass(frozen=True, slots=True)
class BulkResult:
    """The end of one source."""

    source: BulkSource
    outcome: Outcome
    note: str = ""
    """The version and its cost, or the reason of the failure."""
    tokens: int = 0
    computed: int = 0


class DocumentClient(Protocol):
    """The calls of a client that a bulk publish makes; safe from several threads."""

    def documents(self) -> list[dict[str, Any]]:
        """Return every document that this key may read."""

    def publish(
        self,
        document: str,
        text: str,
        *,
        visibility: str | None = None,
        pinned: bool | None = None,
        price: Mapping[str, str] | None = None,
        licence: str | None = None,
        ttl_s: int | None = None,
    ) -> dict[str, Any]:
        """Publish a text. Example: ``client.publish("handbook", text, visibility="private")``."""


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """The choices of a run. ``chosen``: the arguments of every publish: visibility, pinned, price, licence."""

    chosen: Mapping[str, Any]
    most_bytes: int
    parallel: int = 2
    dry_run: bool = False


class BulkRun:
    """One run over all sources. A run that was cut short is taken up by the same command: what it has published is
    unchanged then, and is not sent.

    Example:
        ``for result in BulkRun(client, options, fetch).results(sources): print(result.outcome)``
    """

    def __init__(
        self,
        client: DocumentClient,
        options: BulkOptions,
        fetch: Callable[[str], str],
        *,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """``fetch`` returns the text of a URL; ``sleep`` waits between attempts, less long once the run is stopped."""
        self._client, self._options, self._fetch = client, options, fetch
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._known: frozenset[tuple[str, str, str]] = frozenset()

    def results(self, sources: Sequence[BulkSource]) -> Generator[BulkResult, None, None]:
        """Yield the result of each source as it comes. Closing the generator starts no further one.

        Raises the client's error where the list of documents cannot be read.
        """
        self._known = frozenset(
            (d["id"], d["etag"], d["visibility"]) for d in self._client.documents() if d.get("current", True)
        )
        rest = iter(sources)
        with ThreadPoolExecutor(max_workers=self._options.parallel) as pool:
            running: set[Future[BulkResult]] = set()
            try:
                while True:
                    # A few ahead of the workers, so that texts are not read long before they are sent.
                    for source in rest:
                        running.add(pool.submit(self._one, source))
                        if len(running) >= 2 * self._options.parallel:
                            break
                    if not running:
                        return
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            finally:
                self._stopped.set()
                for future in running:
                    future.cancel()

    def _one(self, source: BulkSource) -> BulkResult:
        if source.fault:
            return BulkResult(source, "failed", source.fault)
        try:
            text = (
                self._fetch(source.where)
                if source.is_url
                else read_file(source.where, self._options.most_bytes)
            )
            if not text.strip():
                return BulkResult(source, "failed", "the text is empty")
            if self._is_known(source.id, text):
                return BulkResult(source, "unchanged")
            if self._options.dry_run:
                return BulkResult(source, "would publish", f"{len(text):,} characters")
            return _published(source, self._publish(source.id, text))
        except KVProxyError as e:
            return BulkResult(source, "failed", e.message)

    def _publish(self, id: str, text: str) -> dict[str, Any]:
        """Publish, and again where the proxy says when to: it is busy, or its store makes room."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._client.publish(id, text, **self._options.chosen)
            except KVProxyError as e:
                pause = e.retry_after_s
                if pause is None or attempt == _ATTEMPTS or self._stopped.is_set():
                    raise
                self._sleep(min(float(pause), _LONGEST_WAIT_S))
        raise AssertionError("unreachable")

    def _is_known(self, id: str, text: str) -> bool:
        etag = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        wanted = self._options.chosen.get("visibility")
        changes = any(
            self._options.chosen.get(name) is not None for name in ("pinned", "price", "licence", "ttl_s")
        )
        if changes:  # a price or a pin is set even where the text stays
            return False
        return any(
            (id, etag, v) in self._known for v in ((wanted,) if wanted else ("public", "granted", "private"))
        )


def read_file(path: str, most_bytes: int) -> str:
    """Return the text of a file of at most ``most_bytes``. Raises SetupError for one that is larger, or no text."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as e:
        raise SetupError(f"cannot be read: {e.strerror}") from e
    if len(data) > most_bytes:
        raise SetupError(f"has more than {most_bytes} bytes; publish it in parts, or raise --max-size")
    text = decode_text(data, path)
    if "\0" in text:
        raise SetupError("is no text: it has a NUL character")
    return text


def _published(source: BulkSource, result: Mapping[str, Any]) -> BulkResult:
    info = result["info"]
    tokens, computed = int(info["tokens"]), int(result.get("computed_tokens", 0))
    if not result["created"]:
        return BulkResult(source, "unchanged", f"{info['id']}@{info['version']}", tokens)
    note = f"{info['id']}@{info['version']} in {result['prefill_s']:.1f} s"
    return BulkResult(source, "published", note, tokens, computed)
