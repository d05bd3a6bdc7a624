"""`plan_sources`: the files and URLs behind the arguments of a bulk publish, each with the id that it gets."""

from __future__ import annotations

import glob
import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from kvproxy.documents.library.document import ID_PATTERN
from kvproxy.errors import SetupError

_WILD = re.compile(r"[*?\[]")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_ID = re.compile(ID_PATTERN)
_MOST = 128


@dataclass(frozen=True, slots=True)
class BulkSource:
    """One text to publish: a file or a URL, and the id of its document."""

    where: str
    """The path as the file system has it, or the URL."""
    id: str
    """Empty where no id could be made of it; ``fault`` says why."""
    fault: str = ""

    @property
    def is_url(self) -> bool:
        """Whether it is fetched."""
        return is_url(self.where)


@dataclass(frozen=True, slots=True)
class _FoundSource:
    where: str
    name: str
    """The path relative to the folder, the glob's fixed part or the host: ids are made of it."""


def is_url(source: str) -> bool:
    """Return whether an argument is the URL of a text."""
    return source.lower().startswith(("http://", "https://"))


def plan_sources(
    arguments: Sequence[str], *, include: Sequence[str] = (), prefix: str = ""
) -> tuple[BulkSource, ...]:
    """Return every file and URL that the arguments name, in their order, each once.

    A folder stands for the files below it, a pattern for those that it matches; hidden files, and links that lead out
    of the folder, are left out. ``include``: patterns that a file's name below a folder must match one of; ``prefix``
    stands before every id. Raises SetupError for an argument that names nothing.

    Example:
        ``plan_sources(["docs", "notes/*.md", "https://example.com/a.txt"], include=["*.md"])``
    """
    found: dict[str, _FoundSource] = {}
    for argument in arguments:
        some = list(_named(argument, include))
        if not some:
            raise SetupError(
                f"'{argument}' names no file; give a file, a folder, a pattern in quotes, or a URL"
            )
        for item in some:
            found.setdefault(item.where, item)
    return _with_ids(list(found.values()), prefix)


def document_id(name: str) -> str:
    """Return the id that a relative path gives: other characters than an id's become ``-``; a long one is cut and
    ends with a digest of the whole. Empty where nothing is left of it.

    Example: ``document_id("Guides/Über uns.md")`` is ``"Guides/Uber-uns.md"``.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    segments = [_UNSAFE.sub("-", segment).strip("-") for segment in plain.split("/")]
    id = "/".join(s for s in segments if s and s.strip(".")).lstrip("._-/")
    if len(id) > _MOST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        id = f"{id[: _MOST - 13].rstrip('._-/')}-{digest}"
    return id if _ID.fullmatch(id) else ""


def _named(argument: str, include: Sequence[str]) -> Iterator[_FoundSource]:
    if is_url(argument):
        parts = urlsplit(argument)
        name = unquote(parts.path).strip("/") or "index"
        query = f"-{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}" if parts.query else ""
        yield _FoundSource(argument, f"{parts.hostname or ''}/{name}{query}")
        return
    path = Path(argument)
    if path.is_dir():
        for file in _below(path, include):
            yield _FoundSource(str(file), file.relative_to(path).as_posix())
    elif path.is_file():
        yield _FoundSource(str(path), path.name)
    elif _WILD.search(argument):
        fixed = Path(argument[: _WILD.search(argument).start()])  # type: ignore[union-attr]  # it was found just above
        base = fixed if argument[: len(str(fixed)) + 1].endswith("/") else fixed.parent
        for name in sorted(glob.glob(argument, recursive=True)):
            if Path(name).is_file():
                yield _FoundSource(name, _relative(Path(name), base))


def _below(folder: Path, include: Sequence[str]) -> Iterator[Path]:
    root = folder.resolve()
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in PurePosixPath(name).parts):
            continue
        if include and not any(fnmatch(name, p) or fnmatch(file.name, p) for p in include):
            continue
        if file.is_file() and file.resolve().is_relative_to(root):
            yield file


def _relative(path: Path, base: Path) -> str:
    try:
        return path.relative_to(base).as_posix()
    except ValueError:
        return path.name


def _with_ids(found: Sequence[_FoundSource], prefix: str) -> tuple[BulkSource, ...]:
    """Leave the last suffix out of the names, where that makes no two of them the same."""
    bare = [str(PurePosixPath(item.name).with_suffix("")) for item in found]
    ids = [document_id(prefix + name) for name in bare]
    doubled = _doubled(ids)
    ids = [
        document_id(prefix + item.name) if id in doubled else id for id, item in zip(ids, found, strict=True)
    ]
    doubled = _doubled(ids)
    return tuple(_source(item, id, doubled) for item, id in zip(found, ids, strict=True))


def _doubled(ids: Iterable[str]) -> frozenset[str]:
    return frozenset(id for id, times in Counter(ids).items() if times > 1 and id)


def _source(item: _FoundSource, id: str, doubled: frozenset[str]) -> BulkSource:
    if not id:
        return BulkSource(
            item.where, "", "no letter or digit of its name can stand in an id; publish it with --id"
        )
    if id in doubled:
        return BulkSource(item.where, "", f"another source has the id '{id}' too; publish it with --id")
    return BulkSource(item.where, id)
