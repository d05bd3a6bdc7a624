"""Files that are no document files, or not whole. Whatever is refused leaves nothing behind."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import pytest

from kvproxy.document_files.file_sections import END, MAGIC, MANIFEST, PAGE, TEXT, section_head
from tests.document_files.hosts import (
    Exported,
    Host,
    joined,
    sections,
)
from tests.document_files.refusals import refused


async def test_archives_and_pickles_are_refused_unread(
    importer: Host, exported: Exported, tmp_path: Path
) -> None:
    planted = tmp_path / "planted"

    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return Path.touch, (planted,)

    pickled = pickle.dumps(Bomb())
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("../../etc/cron.d/x", "/etc/passwd", "manifest.jws", "manifest.jws"):
            with pytest.warns(UserWarning, match="Duplicate") if name in archive.namelist() else _nothing():
                archive.writestr(name, b"\0" * 10**6)
    with tarfile.open(fileobj=tarred, mode="w") as tar:
        link = tarfile.TarInfo("page")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    for file in (pickled, zipped.getvalue(), tarred.getvalue(), gzip.compress(exported.file), b"", b"KVPX"):
        assert "document file" in await refused(importer, file, exported) or file in (b"", b"KVPX")
    # And in the place of a page, a text or a manifest.
    parts = sections(exported.file)
    page = pickled.ljust(len(parts[2][1]), b"\0")
    assert "not a page file" in await refused(
        importer, joined([*parts[:2], (PAGE, page), *parts[3:]]), exported
    )
    assert "text has" in await refused(importer, joined([parts[0], (TEXT, pickled), *parts[2:]]), exported)
    await refused(importer, joined([(MANIFEST, pickled), *parts[1:]]), exported)
    assert not planted.exists()


async def test_lengths_beyond_what_was_signed_are_refused_before_they_are_read(
    importer: Host, exported: Exported
) -> None:
    """Nothing of a section that announces too much is read, so that a few bytes cannot ask for memory."""
    parts = sections(exported.file)
    jws, text = parts[0][1], parts[1][1]
    opened = MAGIC + section_head(MANIFEST, len(jws)) + jws
    read = opened + section_head(TEXT, len(text)) + text
    for file in (
        MAGIC + section_head(MANIFEST, 2**60),
        MAGIC + section_head(MANIFEST, 0),
        opened + section_head(TEXT, 2**60),
        read + section_head(PAGE, 2**60),
        read + section_head(PAGE, 10),
    ):
        assert "bytes, and must have" in await refused(importer, file, exported)
    with_bomb = gzip.compress(b"\0" * 10**7)
    assert "bytes, and must have" in await refused(
        importer, joined([*parts[:2], (PAGE, with_bomb), *parts[3:]]), exported
    )


async def test_sections_that_are_missing_doubled_or_foreign_are_refused(
    importer: Host, exported: Exported
) -> None:
    parts = sections(exported.file)
    pages = [part for part in parts if part[0] == PAGE]
    for wrong in (
        parts[1:],
        [parts[0], *parts[2:]],
        [*parts[:2], *pages[1:]],
        [*parts[:2], *pages, pages[0]],
        [*parts[:3], pages[0], *pages[1:]],
        [*parts[:2], (b"PKL\n", pages[0][1]), *pages[1:]],
        [parts[1], parts[0], *pages],
    ):
        await refused(importer, joined(wrong), exported)
    assert "goes on behind its end" in await refused(importer, exported.file + b"\0", exported)
    assert "goes on behind" in await refused(importer, exported.file + exported.file, exported)
    assert parts[-1][0] == END


async def test_a_file_that_ends_early_is_refused_wherever_it_ends(importer: Host, exported: Exported) -> None:
    ends, at = [0, 4, len(MAGIC)], len(MAGIC)
    for _, content in sections(exported.file):
        ends += [at + 5, at + 12, at + 12 + len(content) // 2, at + 12 + len(content) - 1]
        at += 12 + len(content)
    for end in ends:
        assert "The file ends inside its" in await refused(importer, exported.file[:end], exported)


async def test_random_files_are_refused(importer: Host, exported: Exported) -> None:
    """Cut, doubled, shuffled and overwritten pieces of a sound file; some as a host would have joined them."""
    random = Random(5)
    for _ in range(20):
        file = bytearray(exported.file)
        for _ in range(random.randint(1, 3)):
            begin, length = random.randrange(len(file)), random.randint(1, 5000)
            kind = random.randrange(3)
            if kind == 0:
                del file[begin : begin + length]
            elif kind == 1:
                file[begin:begin] = file[begin : begin + length]
            else:
                file[begin : begin + length] = random.randbytes(length)
        if bytes(file) != exported.file:
            await refused(importer, bytes(file), exported)


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()
