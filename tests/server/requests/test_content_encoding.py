from __future__ import annotations

import gzip
import json
import zlib

import pytest

from kvproxy.errors import UnreadableBody, UnsupportedEncoding
from kvproxy.server.requests.content_encoding import TooMuch, unpacked
from tests.server.doubles import ask, client_of, make_proxy

TEXT = json.dumps(ask("hello " * 1000)).encode()
GZIPPED = gzip.compress(TEXT, mtime=0)
"""Without the time of day, which would be in the names of the tests."""


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT)),
        (" X-GZIP ", gzip.compress(TEXT)),
        ("gzip", gzip.compress(TEXT[:100]) + gzip.compress(b"") + gzip.compress(TEXT[100:])),
        ("gzip", gzip.compress(TEXT, compresslevel=0)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", bare(TEXT)),
        ("gzip", b""),
    ],
)
async def test_what_is_packed_is_unpacked(encoding: str, packed: bytes) -> None:
    assert await unpacked(packed, encoding, len(TEXT)) == (TEXT if packed else b"")


async def test_a_body_of_several_pieces() -> None:
    large = bytes(range(256)) * 8192
    assert await unpacked(gzip.compress(large, compresslevel=0), "gzip", len(large)) == large


@pytest.mark.parametrize("encoding", ["zstd", "br", "compress", "gzip, gzip", "nonsense"])
async def test_what_is_not_read_here(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding):
        await unpacked(TEXT, encoding, 10**6)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", TEXT),
        ("gzip", GZIPPED[:-9]),
        ("gzip", GZIPPED[:20]),
        ("gzip", GZIPPED + b"more"),
        ("gzip", GZIPPED[:-8] + b"\0" * 8),
        ("deflate", zlib.compress(TEXT) + b"more"),
        ("deflate", b"\xff\xff"),
        ("deflate", b"x"),
    ],
)
async def test_what_is_not_what_it_says(encoding: str, packed: bytes) -> None:
    with pytest.raises(UnreadableBody):
        await unpacked(packed, encoding, 10**6)


async def test_the_limit_is_of_what_is_unpacked() -> None:
    bomb = gzip.compress(b" " * 10**7)
    assert len(bomb) < 20_000
    with pytest.raises(TooMuch):
        await unpacked(bomb, "gzip", 10**7 - 1)
    assert len(await unpacked(bomb, "gzip", 10**7)) == 10**7
    with pytest.raises(UnreadableBody, match="too many"):
        await unpacked(gzip.compress(b"") * 5000, "gzip", 10**6)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_over_http(path: str) -> None:
    async with client_of(make_proxy(max_body=20_000)) as http:

        async def post(body: bytes, encoding: str) -> tuple[int, str]:
            response = await http.post(path, data=body, headers={"Content-Encoding": encoding})
            if response.status == 415:
                assert response.headers["Accept-Encoding"] == "gzip, deflate"
            return response.status, await response.text()

        body = json.dumps(ask(max_tokens=4)).encode()
        assert (await post(gzip.compress(body), "gzip"))[0] == 200
        for encoding, sent, status in (
            ("zstd", body, 415),
            ("gzip", body, 400),
            ("gzip", gzip.compress(body)[:-4], 400),
            ("gzip", gzip.compress(b" " * 10**6), 413),
        ):
            got, told = await post(sent, encoding)
            assert got == status
            assert ("request_id" in json.loads(told)) == (path == "/v1/messages")
            assert "hello" not in told
