"""`fetch_text`: the text behind a URL that the operator named: bounded in size and time, text only."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

import httpx

from kvproxy.errors import SetupError

_REDIRECTS = 5
_TIMEOUT_S = 30.0
_CHARSET = re.compile(r"charset\s*=\s*\"?([\w.:-]+)", re.IGNORECASE)
_TEXT = re.compile(r"text/[\w.+-]+|application/(?:[\w.-]+\+)?(?:json|xml|yaml|x-yaml|toml|x-ndjson)")
"""Content types that are text. HTML is published with its tags, as it came."""


class FetchFailed(SetupError):
    """A URL could not be read as a text."""


def fetch_text(
    url: str, *, most_bytes: int, follow: bool = False, transport: httpx.BaseTransport | None = None
) -> str:
    """Return the text at ``url``. ``follow`` lets redirects lead to other hosts; ``transport`` replaces the network.

    Raises FetchFailed: no http(s), another status than 200, another type than text, more than ``most_bytes``, bytes
    that are not of the named charset, or a redirect to another host.

    Example:
        ``fetch_text("https://example.com/handbook.txt", most_bytes=8 * 2**20)``
    """
    asked = url
    headers = {"accept": "text/*, application/json, application/xml;q=0.9", "accept-encoding": "identity"}
    with httpx.Client(transport=transport, timeout=_TIMEOUT_S, headers=headers) as http:
        for _ in range(_REDIRECTS + 1):
            _check(url)
            try:
                with http.stream("GET", url) as response:
                    if response.next_request is None:
                        return _text(url, response, most_bytes)
                    url = _target(asked, url, response, follow=follow)
            except (httpx.HTTPError, httpx.InvalidURL) as e:
                raise FetchFailed(f"{url} cannot be fetched: {e or type(e).__name__}") from e
    raise FetchFailed(f"{asked} leads from one address to the next more than {_REDIRECTS} times")


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as e:
        raise FetchFailed(f"'{url}' is no URL: {e}") from e
    if parts.scheme not in ("http", "https") or not host:
        raise FetchFailed(f"'{url}' is no http or https URL")


def _target(asked: str, url: str, response: httpx.Response, *, follow: bool) -> str:
    target = urljoin(url, str(response.headers.get("location", "")))
    before, after = urlsplit(asked), urlsplit(target)
    if urlsplit(url).scheme == "https" and after.scheme == "http":
        raise FetchFailed(f"{asked} leads from https to {target}, which is not followed")
    if before.hostname != after.hostname and not follow:
        raise FetchFailed(f"{asked} leads to another host, {target}: name that URL, or give --follow")
    return target


def _text(url: str, response: httpx.Response, most_bytes: int) -> str:
    if response.status_code != 200:
        raise FetchFailed(f"{url} answers {response.status_code} {response.reason_phrase}".rstrip())
    kind = response.headers.get("content-type", "text/plain")
    plain = kind.partition(";")[0].strip().lower()
    if _TEXT.fullmatch(plain) is None:
        raise FetchFailed(f"{url} is {plain}, which is no text; convert it first")
    coding = response.headers.get("content-encoding", "identity")
    if coding != "identity":
        raise FetchFailed(f"{url} comes packed as {coding}, though it was asked for as it is")
    data = bytearray()
    for chunk in response.iter_bytes():
        data += chunk
        if len(data) > most_bytes:
            raise FetchFailed(
                f"{url} has more than {most_bytes} bytes; publish it in parts, or raise --max-size"
            )
    named = _CHARSET.search(kind)
    try:
        return bytes(data).decode(named[1] if named else "utf-8")
    except (LookupError, UnicodeDecodeError) as e:
        raise FetchFailed(f"{url} is not text of its charset: {e}") from e
