"""`PreparedTexts`: the tokens of published documents on disk, so that a start need not tokenise them again.

A cache beside the registry. A text that is missing, damaged, or made by another recipe (tokenizer, template,
framings) is prepared again, and nothing else is lost with the file. Each publisher's version has a row of its own,
which is read at a start and never while publishing: a text that another tenant has already published must not make a
publish faster.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import threading
from array import array
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from kvproxy.core import DocumentRef
from kvproxy.documents.library.document import Document, FramedPrefix, JoinPoint, TokenizedDocument, etag_of
from kvproxy.documents.library.known_document import SpelledText
from kvproxy.documents.library.spelling import normal_forms, spellings
from kvproxy.documents.prepared.preparation import Prepared
from kvproxy.documents.prepared.shared_tail import shared_tail
from kvproxy.store.sqlite.sqlite_read_only import read_only

logger = logging.getLogger(__name__)

_DAMAGE = (
    "SQLITE_CORRUPT",
    "SQLITE_NOTADB",
    "SQLITE_ERROR",
    "SQLITE_SCHEMA",
    "SQLITE_MISMATCH",
    "SQLITE_CONSTRAINT",
)
"""Beginnings of error names that are evidence against the file itself."""

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS prepared (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    recipe TEXT NOT NULL,
    digest BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (name, version)
);
"""
_ROWS = "SELECT name, version, recipe, digest, data FROM prepared"


class PreparedTexts:
    """The file of prepared texts. Blocking; safe from several threads, one at a time.

    A damaged file is replaced by an empty one; a failing disk costs time at the next start. Either is logged, once.
    """

    def __init__(self, path: Path, recipe: str) -> None:
        """Open or create the file; one that is no database is replaced.

        ``recipe``: a digest of all inputs of the tokens beside the text.
        """
        self._lock = threading.Lock()
        self._path = path
        self._recipe = recipe
        self._db: sqlite3.Connection | None = None
        self._ids = _SharedIds()
        try:
            self._db = _opened(path)
        except (OSError, sqlite3.Error) as e:
            self._renew(e)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def get(self, document: Document) -> Prepared | None:
        """Return the tokens stored for this version, if the row is whole and belongs to its text and this recipe."""
        sql = f"{_ROWS} WHERE name = ? AND version = ? AND recipe = ?"
        rows = self._run(
            lambda db: db.execute(sql, (document.ref.name, document.version, self._recipe)).fetchall()
        )
        return _decoded(rows[0][4], document.text, self._ids) if rows and _whole(rows[0]) else None

    def put(self, document: Document, prepared: Prepared) -> None:
        """Store the tokens of a version."""
        data = _encoded(prepared)
        key = (document.ref.name, document.version, self._recipe)
        row = (*key, _digest(*key, data), data)
        self._run(
            lambda db: db.execute("INSERT OR REPLACE INTO prepared VALUES (?, ?, ?, ?, ?)", row).fetchall()
        )

    def drop(self, refs: Sequence[DocumentRef]) -> None:
        """Drop the rows of versions."""
        keys = [(ref.name, ref.version) for ref in refs]
        self._run(
            lambda db: db.executemany("DELETE FROM prepared WHERE name = ? AND version = ?", keys).fetchall()
        )

    def keep_only(self, refs: Sequence[DocumentRef]) -> None:
        """Drop the rows of all other versions: an earlier process may have ended before it did."""
        wanted = {(ref.name, ref.version) for ref in refs}
        there = self._run(lambda db: db.execute("SELECT name, version FROM prepared").fetchall())
        self.drop([DocumentRef(name, version) for name, version in there if (name, version) not in wanted])

    def _run(self, work: Callable[[sqlite3.Connection], list[Any]]) -> list[Any]:
        with self._lock:
            if self._db is None:
                return []
            try:
                return work(self._db)
            except (sqlite3.Error, UnicodeDecodeError) as e:
                self._db.close()
                self._db = None
                if (getattr(e, "sqlite_errorname", None) or "SQLITE_CORRUPT").startswith(_DAMAGE):
                    self._renew(e)
                else:
                    logger.warning("prepared texts are not used until the next start: %s", e)
                return []

    def _renew(self, why: Exception) -> None:
        """Replace a damaged file by an empty one."""
        for part in ("", "-wal", "-shm"):
            with suppress(OSError):
                self._path.with_name(self._path.name + part).unlink()
        try:
            self._db = _opened(self._path)
        except (OSError, sqlite3.Error) as e:
            logger.warning("documents will be tokenised anew at every start: %s: %s", self._path, e)
        else:
            logger.warning("prepared texts %s were damaged (%s): they are made anew", self._path, why)


def damaged_texts(path: Path) -> list[str]:
    """Return every fault of the file as a line of text. Changes nothing."""
    try:
        with closing(read_only(path)) as db:
            faults = [str(row[0]) for row in db.execute("PRAGMA quick_check") if row[0] != "ok"]
            for row in db.execute(_ROWS):
                if not _whole(row):
                    id = str(row[0]).partition("\n")[0]
                    faults.append(f"{id[:140]}@{row[1]} differs from the row as written")
            return faults
    except (sqlite3.Error, UnicodeDecodeError) as e:
        return [str(e)]


def drop_damaged_texts(path: Path) -> None:
    """Delete the rows that are not as they were written, or all of a file that cannot be read: they are made anew.

    For a file that no process has open. Raises OSError.
    """
    try:
        with closing(_opened(path)) as db:
            if any(row[0] != "ok" for row in db.execute("PRAGMA quick_check")):
                raise sqlite3.DatabaseError("its structure is damaged")
            doomed = [row[:2] for row in db.execute(_ROWS).fetchall() if not _whole(row)]
            db.executemany("DELETE FROM prepared WHERE name = ? AND version = ?", doomed)
    except (sqlite3.Error, UnicodeDecodeError):
        for part in ("", "-wal", "-shm"):
            path.with_name(path.name + part).unlink(missing_ok=True)


def _whole(row: tuple[object, ...]) -> bool:
    """Return whether a row of ``_ROWS`` is as it was stored, under its own name."""
    name, version, recipe, digest, data = row
    return isinstance(data, bytes) and digest == _digest(name, version, recipe, data)


def _digest(name: object, version: object, recipe: object, data: bytes) -> bytes:
    key = repr((name, version, recipe)).encode("utf-8", "backslashreplace")
    return hashlib.sha256(b"%d:" % len(key) + key + data).digest()


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(0o600)
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        db.executescript(_SCHEMA)
        db.execute(f"{_ROWS} LIMIT 1").fetchall()
    except sqlite3.Error:
        db.close()
        raise
    return db


def _encoded(prepared: Prepared) -> bytes:
    """Encode as a line of JSON, followed by token ids as uint32, little-endian: those of each spelling, and of each
    prefix as far as they are not its spelling's own."""
    tokens = array("I")
    of_spelling = {other.name: other.tokenized for other in prepared.others}
    distinct = {t.key: t for t in (prepared.tokenized, *(other.tokenized for other in prepared.others))}

    def count(ids: Sequence[int]) -> int:
        tokens.extend(ids)
        return len(ids)

    def prefix(framed: FramedPrefix) -> list[Any]:
        own = of_spelling.get(framed.spelling, prepared.tokenized)
        tail = shared_tail(framed.token_ids, own.token_ids)
        return [
            framed.framing,
            framed.spelling,
            own.key,
            count(framed.token_ids[: tail.head]),
            tail.token,
            tail.count,
        ]

    head = {
        "tokenized": [
            [
                t.key,
                [[e.character, e.token] for e in t.entries],
                t.lead,
                t.cut,
                t.cut_token,
                count(t.token_ids),
            ]
            for t in distinct.values()
        ],
        "others": [[other.name, other.tokenized.key] for other in prepared.others],
        "prefixes": [prefix(framed) for framed in prepared.prefixes],
    }
    return json.dumps(head).encode() + b"\n" + tokens.tobytes()


class _SharedIds:
    """Token ids as one object each for all texts: else every token of every document would be 32 bytes more, and
    comparing two texts would look at all of them. Safe in any thread: it only grows."""

    def __init__(self) -> None:
        self._ids: list[int] = []

    def of(self, tokens: array[int]) -> tuple[int, ...]:
        """Return these ids. The largest is a tokenizer's, some hundred thousand at most."""
        try:
            return tuple(map(self._ids.__getitem__, tokens))
        except IndexError:
            self._ids = [*self._ids, *range(len(self._ids), max(tokens) + 1)]
            return tuple(map(self._ids.__getitem__, tokens))


def _decoded(data: bytes, text: str, shared: _SharedIds) -> Prepared | None:
    """Decode a row; None when it was made for another text."""
    line, _, rest = data.partition(b"\n")
    head, tokens, at = json.loads(line), array("I"), 0
    tokens.frombytes(rest)

    def take(count: int) -> tuple[int, ...]:
        nonlocal at
        at += count
        return shared.of(tokens[at - count : at])

    others = (*spellings(text)[1:], *normal_forms(text)) if head["others"] else ()
    texts = {spelling.name: spelling.text for spelling in others}
    cores = {etag_of(core): core for core in (text.strip(), *(spelled.strip() for spelled in texts.values()))}
    tokenized: dict[str, TokenizedDocument] = {}
    for key, entries, lead, cut, cut_token, count in head["tokenized"]:
        if key not in cores:
            return None
        ids, places = take(count), tuple(JoinPoint(character, token) for character, token in entries)
        tokenized[key] = TokenizedDocument(cores[key], key, ids, places, lead, cut, cut_token)
    prefixes = tuple(
        FramedPrefix(framing, take(count) + tokenized[key].token_ids[token : token + more], spelling)
        for framing, spelling, key, count, token, more in head["prefixes"]
    )
    spelled = tuple(
        SpelledText(name, texts[name], tokenized[key]) for name, key in head["others"] if name in texts
    )
    if len(spelled) != len(head["others"]):
        return None
    return Prepared(next(iter(tokenized.values())), prefixes, spelled)
