"""A large body is read as a small one is: to the same values, and with the same refusals."""

from __future__ import annotations

import json
import random

import pytest

from kvproxy.errors import InvalidRequest
from kvproxy.wire.bodies import json_text, patient_json
from kvproxy.wire.bodies.json_text import MOST_CONTAINERS, MOST_VALUES, decode_object

ESCAPES = (r"\n", r"\u0041", r"\ud83d\ude00", r"\ud83d", r"\ude01", "q", r"\"", r"\/", r"\\", "é", "漢", "😀")
SCALARS = (
    "null",
    "true",
    "-0",
    "12345678901234567890123",
    "1.5",
    "-0.0",
    "1e5",
    "1E+3",
    '""',
    "NaN",
    "1e999",
)


def value(source: random.Random, depth: int = 0) -> str:
    kind = source.random()
    if depth > 5 or kind < 0.4:
        text = "".join(source.choices(ESCAPES, k=source.randrange(30)))
        return source.choice([*SCALARS, f'"{text}"', f'"{text}"'])
    space = source.choice(["", " ", "\n", "\t "])
    inner = [value(source, depth + 1) for _ in range(source.randrange(4))]
    if kind < 0.7:
        return f"[{space}{f',{space}'.join(inner)}{space}]"
    return "{" + ",".join(f'{space}"{source.choice("abcdé")}"{space}:{space}{x}' for x in inner) + space + "}"


def outcome(text: str, *, patient: bool) -> tuple[str, object]:
    try:
        return "read", repr(json_text._read_patiently(text) if patient else json_text._loads(text))
    except InvalidRequest as e:
        return "refused", e.message
    except json.JSONDecodeError as e:
        # json blames an escape for the end of the text behind it.
        return "broken", "" if "Unterminated" in e.msg or "escape" in e.msg else (e.msg, e.pos)


def test_it_reads_the_same_values_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_json, "_PIECE", 8)  # so that short strings are put together too
    source = random.Random(5)
    for _ in range(3000):
        text = value(source)
        if source.random() < 0.5:
            at = source.randrange(len(text) + 1)
            text = text[:at] + source.choice(["", *'{}[]",:\\u\x01 0-.']) + text[at + source.randrange(2) :]
        assert outcome(text, patient=True) == outcome(text, patient=False), text


def test_large_bodies_are_read_as_small_ones() -> None:
    body = {"a": 'é\n"\\漢' * 300_000, "b": [{"c": [1, 2.5, None, True]}] * 30_000}
    for raw in (json.dumps(body).encode(), json.dumps(body, ensure_ascii=False).encode()):
        assert not json_text.is_small(raw)
        assert decode_object(raw) == body


@pytest.mark.parametrize("item", [b"{}", b"[]", b"1", b'""', b'{"a":{}}'])
def test_no_more_values_are_read_than_any_request_needs(item: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_CONTAINERS < MOST_VALUES
    monkeypatch.setattr(json_text, "MOST_CONTAINERS", 30_000)
    monkeypatch.setattr(json_text, "MOST_VALUES", 60_000)
    count = (30_000 if item[:1] in b"{[" else 60_000) + 1
    with pytest.raises(InvalidRequest, match="more than"):
        decode_object(b'{"x":[' + b",".join([item] * count) + b"]}")


def test_depth_is_bounded() -> None:
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        decode_object(b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}")


@pytest.mark.parametrize("at", [0, 2**20 - 1, 2**20, 3 * 2**19])
def test_a_byte_that_is_no_utf8_is_named(at: int) -> None:
    raw = bytearray(b'{"a":"' + "é".encode() * 2**20 + b'"}')
    raw[at] = 0xFF
    with pytest.raises(UnicodeDecodeError) as whole:
        bytes(raw).decode()
    with pytest.raises(InvalidRequest, match=rf"byte {whole.value.start}\)"):
        decode_object(bytes(raw))
