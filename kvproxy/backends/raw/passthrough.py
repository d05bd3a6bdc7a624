"""Upstreams that speak the client's own dialect, asked and answered byte for byte.

One of the two ways to another model; the other is litellm, which translates and costs milliseconds. Nothing
of a raw upstream is retried, balanced or replaced by a fallback: the client gets its bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from kvproxy.backends.base import Endpoint
from kvproxy.backends.raw.model_rewrite import with_model
from kvproxy.backends.raw.small_reads import SmallReads
from kvproxy.errors import InvalidRequest, SetupError, UpstreamError
from kvproxy.runtime.request_context import outgoing_call

CONNECT_S = 10.0
KEEPALIVE_S = 4.0
"""Less than the 5 s after which uvicorn, and vLLM with it, closes an idle connection: a request that is sent
into a connection as it closes would fail, and cannot be sent again without knowing whether it was served."""

_FORWARDED = ("accept", "anthropic-beta", "anthropic-version", "openai-beta", "user-agent")
"""Request headers that travel to an upstream beside the body. The client's credentials are for this proxy. An
idempotency key stays here: to the upstream all tenants are one account, so a key that two of them use would give
one the other's answer."""

_RETURNED = frozenset(
    "content-type content-encoding content-length content-language retry-after retry-after-ms "
    "x-should-retry request-id openai-model openai-organization openai-processing-ms openai-version".split()
)
_RETURNED_PREFIXES = ("x-ratelimit-", "ratelimit-", "anthropic-ratelimit-")
_ANTHROPIC_VERSION = "2023-06-01"


class RawUpstream:
    """A :class:`~kvproxy.backends.base.Passthrough` to one address."""

    def __init__(
        self, client: aiohttp.ClientSession, *, name: str, model: str, api_base: str, api_key: str
    ) -> None:
        """``model``: as in litellm, ``openai/`` or ``anthropic/`` and the upstream's own name for it; ``name`` is
        the clients' name for it. Raises SetupError for another dialect."""
        dialect, _, self._model = model.partition("/")
        if dialect not in ("openai", "anthropic") or not self._model:
            raise SetupError(
                f"upstream '{name}': passthrough needs a model like openai/NAME or anthropic/NAME"
            )
        self._client = client
        self._name = name
        self._anthropic = dialect == "anthropic"
        self._base = _base(api_base, anthropic=self._anthropic)
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._anthropic:
            self._headers |= {"x-api-key": api_key, "anthropic-version": _ANTHROPIC_VERSION}
        else:
            self._headers["Authorization"] = f"Bearer {api_key}"

    @asynccontextmanager
    async def open(
        self, endpoint: Endpoint, raw: bytes, headers: Mapping[str, str]
    ) -> AsyncIterator[RawResponse]:
        if self._anthropic and endpoint != "messages":
            raise InvalidRequest(
                f"The model `{self._name}` is Anthropic's and passed through as it is: use /v1/messages.",
                param="model",
            )
        body = with_model(raw, self._model)  # an alias may stand there, too
        own = {name: headers[name] for name in _FORWARDED if name in headers}
        url = f"{self._base}/{endpoint}"
        with outgoing_call("POST", url) as call:
            sent = {**self._headers, **own, **call.headers}
            async with await self._answered(url, body, sent) as response:
                call.answered(response.status)
                yield RawResponse(response)

    async def _answered(self, url: str, body: bytes, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Return the answer, of which the head has come. Leaving its block early closes the connection, which tells the
        upstream that nobody listens."""
        try:
            return await self._client.post(url, data=body, headers=headers, allow_redirects=False)
        except TimeoutError as e:
            raise UpstreamError("The upstream did not answer in time.", status=504) from e
        except (aiohttp.ClientError, OSError) as e:
            raise UpstreamError(
                "The upstream could not be reached. Check its address in the configuration, and that it runs.",
                status=502,
            ) from e


class RawResponse:
    """An :class:`~kvproxy.backends.base.UpstreamResponse`; valid inside of the block that opened it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = tuple(_returned(response))

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as e:
            raise UpstreamError("The upstream's answer broke off.", status=502) from e


@asynccontextmanager
async def raw_client() -> AsyncIterator[aiohttp.ClientSession]:
    """One pool of connections for all raw upstreams. How long an answer may take is the server's to limit."""
    connector = SmallReads(limit=0, keepalive_timeout=KEEPALIVE_S)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
    async with (
        aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),  # an upstream's cookies would join one tenant's requests to another's
            auto_decompress=False,
        ) as client
    ):
        yield client


def _base(api_base: str, *, anthropic: bool) -> str:
    """litellm's conventions: OpenAI's ends in ``/v1``, Anthropic's need not."""
    base = api_base.rstrip("/")
    return base.removesuffix("/messages").removesuffix("/v1") + "/v1" if anthropic else base


def _returned(response: aiohttp.ClientResponse) -> list[tuple[str, str]]:
    kept = [
        (name, value)
        for name, value in response.headers.items()
        if name.lower() in _RETURNED or name.lower().startswith(_RETURNED_PREFIXES)
    ]
    # x-request-id on our answers is our own; the upstream's is what its operator will ask for.
    theirs = response.headers.get("x-request-id")
    return kept if theirs is None else [*kept, ("x-upstream-request-id", theirs)]
