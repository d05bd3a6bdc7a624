"""Sealed frames: opened as they were, by the right key, for the right page and place, and otherwise refused."""

from __future__ import annotations

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core.page_seal import SealBroken
from kvproxy.sealing.encryption_key import parse_key
from kvproxy.sealing.page_cipher import OVERHEAD, PageCipher

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
PAGE = b"p" * 32


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1))
def test_what_was_sealed_is_opened(frame: bytes, index: int) -> None:
    cipher = PageCipher([NEW])
    sealed = cipher.seal(PAGE, index, memoryview(frame))
    assert len(sealed) == len(frame) + OVERHEAD
    assert cipher.open(PAGE, index, memoryview(sealed)) == frame
    assert frame not in sealed or len(frame) < 4


def test_a_sealed_frame_never_looks_the_same_twice() -> None:
    cipher = PageCipher([NEW])
    assert len({cipher.seal(PAGE, 0, b"frame") for _ in range(100)}) == 100


@given(st.integers(0, 8 * (64 + OVERHEAD) - 1))
def test_any_flipped_bit_is_found(bit: int) -> None:
    cipher = PageCipher([NEW])
    sealed = bytearray(cipher.seal(PAGE, 0, bytes(64)))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken):
        cipher.open(PAGE, 0, bytes(sealed))


@pytest.mark.parametrize(("page", "index"), [(b"q" * 32, 0), (PAGE, 1)])
def test_a_frame_is_refused_in_the_place_of_another(page: bytes, index: int) -> None:
    cipher = PageCipher([NEW])
    with pytest.raises(SealBroken, match="another place"):
        cipher.open(page, index, cipher.seal(PAGE, 0, b"frame"))


def test_another_key_is_named() -> None:
    old = PageCipher([OLD])
    with pytest.raises(SealBroken, match=rf"encrypted with another key \({old.key_id}\)"):
        PageCipher([NEW]).open(PAGE, 0, old.seal(PAGE, 0, b"frame"))


def test_a_new_key_writes_and_the_old_one_still_reads() -> None:
    old, both = PageCipher([OLD]), PageCipher([NEW, OLD])
    assert both.open(PAGE, 0, old.seal(PAGE, 0, b"frame")) == b"frame"
    assert PageCipher([NEW]).open(PAGE, 0, both.seal(PAGE, 0, b"frame")) == b"frame"
    assert both.key_id == PageCipher([NEW]).key_id != old.key_id


@pytest.mark.parametrize("sealed", [b"", bytes(OVERHEAD - 1)])
def test_a_frame_that_is_too_short_is_refused(sealed: bytes) -> None:
    with pytest.raises(SealBroken, match="is none"):
        PageCipher([NEW]).open(PAGE, 0, sealed)


def test_keys_are_32_bytes() -> None:
    for keys in ([], [b"short"], [NEW, bytes(31)]):
        with pytest.raises(ValueError, match="32 bytes"):
            PageCipher(keys)


def test_a_key_is_base64_of_32_bytes_and_never_quoted() -> None:
    key = os.urandom(32)
    assert parse_key(f" {base64.b64encode(key).decode()}\n") == key
    for wrong in ("not base64!", base64.b64encode(bytes(31)).decode(), ""):
        with pytest.raises(ValueError, match="openssl rand -base64 32") as raised:
            parse_key(wrong)
        assert not wrong or wrong not in str(raised.value)
