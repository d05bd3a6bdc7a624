from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from kvproxy.core.page_form import PageForm
from kvproxy.sealing.page_cipher import PageCipher
from kvproxy.store import page_file, page_record
from kvproxy.store.page_packing import PagePacking
from kvproxy.store.page_record import PageRecord
from kvproxy.store.page_results import Loaded, Rejected
from kvproxy.store.page_store import PageStore
from kvproxy.store.page_transfer import ExpectedPage, PageTransfer

FORM = PageForm(layers=2, kv_heads=1, head_dim=4, dtype="bfloat16")
IDS = tuple(range(20))
KEY, PARENT, THERE = b"k" * 32, b"p" * 32, b"t" * 32
PAYLOAD = os.urandom(FORM.payload_bytes(len(IDS)))


@pytest.fixture
def here(tmp_path: Path) -> Iterator[PageStore]:
    with PageStore(tmp_path / "here", max_size=2**20, fingerprint="f", form=FORM) as store:
        store.put(KEY, PARENT, IDS, PAYLOAD, "tenant:a")
        yield store


@pytest.fixture
def there(tmp_path: Path) -> Iterator[PageStore]:
    with PageStore(tmp_path / "there", max_size=2**20, fingerprint="f", form=FORM) as store:
        yield store


def payload_of(store: PageStore, key: bytes) -> bytes:
    found = store.get(key, PARENT, IDS)
    assert isinstance(found, Loaded)
    return bytes(found.payload)


def test_a_page_travels_as_it_is_stored_and_is_kept_under_another_key(
    here: PageStore, there: PageStore
) -> None:
    out, into = PageTransfer(here), PageTransfer(there)
    page = out.outgoing(KEY, PARENT, IDS)
    assert page is not None and page.file == here.read_file(KEY)
    assert out.describe(KEY) == out.describe_outgoing(KEY) == page.page
    assert page.page.digest == here.digest(KEY) and page.page.bytes == len(PAYLOAD)
    assert into.take_in(THERE, page.file, ExpectedPage(PARENT, IDS, page.page.digest)) is None
    assert payload_of(there, THERE) == PAYLOAD and there.digest(THERE) == page.page.digest
    assert not there.has(KEY)
    assert out.outgoing(THERE, PARENT, IDS) is None and out.describe(THERE) is None


def test_an_encrypted_page_travels_plain_and_is_encrypted_where_it_comes(
    tmp_path: Path, here: PageStore
) -> None:
    cipher = PageCipher.of_this_process()
    with PageStore(tmp_path / "sealed", max_size=2**20, fingerprint="f", form=FORM, seal=cipher) as sealed:
        transfer = PageTransfer(sealed)
        plain = PageTransfer(here).outgoing(KEY, PARENT, IDS)
        assert plain is not None
        assert transfer.take_in(THERE, plain.file, ExpectedPage(PARENT, IDS, plain.page.digest)) is None
        record = sealed.record(THERE)
        assert record is not None and record.sealed
        assert PAYLOAD[:64] not in (sealed.read_file(THERE) or b"")
        assert transfer.describe_outgoing(THERE) is None, "it travels as another file"
        out = transfer.outgoing(THERE, PARENT, IDS)
        # The same frames again, and so the same digest.
        assert out is not None and out.page.digest == plain.page.digest
        travelling = page_file.read_whole(BytesIO(out.file))
        assert isinstance(travelling, PageRecord) and not travelling.sealed


def test_what_is_not_the_page_that_was_signed_is_not_kept(here: PageStore, there: PageStore) -> None:
    page = PageTransfer(here).outgoing(KEY, PARENT, IDS)
    assert page is not None
    into = PageTransfer(there)

    def refused(file: bytes, expected: ExpectedPage) -> str:
        found = into.take_in(THERE, file, expected)
        assert isinstance(found, Rejected) and there.usage().pages == 0
        return found.reason

    right = ExpectedPage(PARENT, IDS, page.page.digest)
    assert (
        refused(page.file, ExpectedPage(PARENT, IDS, b"d" * 32))
        == "its digest is not the one in the manifest"
    )
    assert refused(page.file, ExpectedPage(THERE, IDS, page.page.digest)) == "it continues another page"
    assert refused(page.file, ExpectedPage(PARENT, IDS[1:], page.page.digest)) == "it holds other token ids"
    assert "the file" in refused(page.file[:-1], right) and "the file" in refused(page.file + b"\0", right)
    assert "not a page file" in refused(b"\x80\x04K\x01.".ljust(5000, b"\0"), right)
    damaged = bytearray(page.file)
    damaged[-1] ^= 1
    assert "fails its checksum" in refused(bytes(damaged), right)
    other = PagePacking("g", FORM).pack(KEY, PARENT, IDS, [memoryview(PAYLOAD)])
    foreign = ExpectedPage(PARENT, IDS, other.record.digest)
    assert "this engine is f" in refused(b"".join(other.buffers), foreign)
    named = page_record.encode(
        PageRecord(
            "f", KEY, PARENT, IDS, (len(PAYLOAD),), (page_record.frame_digest(PAYLOAD),), codec="zip-bomb"
        )
    )
    record = page_record.decode(named)
    assert isinstance(record, PageRecord)
    assert "zip-bomb" in refused(named + PAYLOAD, ExpectedPage(PARENT, IDS, record.digest))
    large = PagePacking("f").pack(KEY, PARENT, IDS, [memoryview(PAYLOAD + PAYLOAD)])
    assert "another form" in refused(b"".join(large.buffers), ExpectedPage(PARENT, IDS, large.record.digest))


def test_a_page_that_is_there_already_stays(here: PageStore) -> None:
    transfer = PageTransfer(here)
    here.put(THERE, PARENT, IDS, bytes(len(PAYLOAD)))
    assert transfer.copy(KEY, THERE, PARENT, IDS)
    assert payload_of(here, THERE) == bytes(len(PAYLOAD))
    here.delete([THERE])
    assert transfer.copy(KEY, THERE, PARENT, IDS, "tenant:b")
    assert payload_of(here, THERE) == PAYLOAD
    assert not transfer.copy(b"n" * 32, b"m" * 32, PARENT, IDS)


def test_pages_wait_in_local_files_alone(here: PageStore, there: PageStore) -> None:
    page = PageTransfer(here).outgoing(KEY, PARENT, IDS)
    assert page is not None
    PageTransfer(here, staging=there).take_in(THERE, page.file, ExpectedPage(PARENT, IDS, page.page.digest))
    assert there.has(THERE) and not here.has(THERE)
