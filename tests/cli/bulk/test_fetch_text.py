from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from kvproxy.cli.bulk.fetch_text import FetchFailed, fetch_text

PLAIN = {"content-type": "text/plain; charset=utf-8"}


def served(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.MockTransport:
    return httpx.MockTransport(answer)


def fetch(
    url: str, answer: Callable[[httpx.Request], httpx.Response], *, most: int = 1000, follow: bool = False
) -> str:
    return fetch_text(url, most_bytes=most, follow=follow, transport=served(answer))


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain", "Grüße".encode(), "Grüße"),
        ("text/markdown; charset=iso-8859-1", "Grüße".encode("latin-1"), "Grüße"),
        ("text/html", b"<p>x</p>", "<p>x</p>"),
        ("application/json", b"{}", "{}"),
        ("application/vnd.api+json", b"{}", "{}"),
    ],
)
def test_text_of_every_kind_comes_as_it_is(kind: str, body: bytes, text: str) -> None:
    assert (
        fetch("https://a/x", lambda _: httpx.Response(200, content=body, headers={"content-type": kind}))
        == text
    )


@pytest.mark.parametrize("kind", ["application/pdf", "image/png", "application/octet-stream", "", "text"])
def test_what_is_no_text_is_refused_by_its_type(kind: str) -> None:
    with pytest.raises(FetchFailed, match="no text"):
        fetch("https://a/x", lambda _: httpx.Response(200, content=b"x", headers={"content-type": kind}))


def test_it_is_bounded_while_it_comes() -> None:
    sent = 0

    def endless() -> object:
        nonlocal sent
        while True:
            sent += 100
            yield b"x" * 100

    with pytest.raises(FetchFailed, match="more than 1000 bytes"):
        fetch("https://a/x", lambda _: httpx.Response(200, content=endless(), headers=PLAIN))  # type: ignore[arg-type]  # httpx takes iterators
    assert sent < 10_000


def redirect(target: str, *, then: str = "there") -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/from":
            return httpx.Response(302, headers={"location": target})
        return httpx.Response(200, text=then, headers=PLAIN)

    return answer


def test_a_redirect_within_the_host_is_followed_and_another_host_only_on_request() -> None:
    assert fetch("https://a/from", redirect("/to")) == "there"
    with pytest.raises(FetchFailed, match=r"another host.*--follow"):
        fetch("https://a/from", redirect("https://b/to"))
    assert fetch("https://a/from", redirect("https://b/to"), follow=True) == "there"


@pytest.mark.parametrize("target", ["http://a/to", "file:///etc/passwd", "ftp://a/x", "//"])
def test_a_redirect_never_leaves_https_or_http(target: str) -> None:
    with pytest.raises(FetchFailed):
        fetch("https://a/from", redirect(target), follow=True)


def test_a_circle_ends() -> None:
    with pytest.raises(FetchFailed, match="more than 5 times"):
        fetch("https://a/from", redirect("/from"))


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, text="x", headers=PLAIN),
        httpx.Response(200, content=b"\xff\xfe\xff", headers=PLAIN),
        httpx.Response(200, content=b"x", headers={"content-type": "text/plain; charset=nope"}),
        httpx.Response(200, content=b"x", headers={**PLAIN, "content-encoding": "br"}),
        httpx.Response(302),
    ],
)
def test_an_answer_that_gives_no_text_is_an_error(answer: httpx.Response) -> None:
    with pytest.raises(FetchFailed):
        fetch("https://a/x", lambda _: answer)


@pytest.mark.parametrize("url", ["ftp://a/x", "https://", "https://[x/", "file:///etc/passwd"])
def test_only_http_is_fetched(url: str) -> None:
    with pytest.raises(FetchFailed):
        fetch(url, lambda _: httpx.Response(200, text="x", headers=PLAIN))


def test_a_host_that_is_not_there_is_told() -> None:
    def refused(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(FetchFailed, match="cannot be fetched: refused"):
        fetch("https://a/x", refused)
