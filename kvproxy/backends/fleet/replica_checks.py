"""`ReplicaChecks`: whether a replica serves the model that this proxy makes tokens for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from kvproxy.backends.fleet.replica_client import ReplicaClient
from kvproxy.backends.fleet.replica_facts import (
    OWN_ALGORITHM,
    EventSockets,
    ReplicaFacts,
    cache_config,
    event_sockets,
    served_models,
    whole_number,
)
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.backends.fleet.token_samples import CONVERSATIONS, TEXTS, TokenSample, first_difference
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import InvalidRequest, SetupError
from kvproxy.settings.fleet_settings import FleetSettings

logger = logging.getLogger(__name__)

MODELS = "/v1/models"
_ELSEWHERE = (301, 302, 303, 307, 308, 404, 405)
"""Statuses of a server that has no such endpoint, or has it elsewhere."""
_ADDRESS = "correct its url, which is what stands before /v1, like http://host:8000"
_NOT_TOLD = "it does not tell its tokens"


@dataclass(frozen=True, slots=True)
class ReplicaChecks:
    """Checks of one fleet's replicas against its tokenizer and template.

    Example: ``facts = await ReplicaChecks(settings, tokenizer, template).of(client)``
    """

    settings: FleetSettings
    tokenizer: Tokenizer
    template: ChatTemplate

    async def of(self, client: ReplicaClient) -> ReplicaFacts:
        """Ask a replica what it serves. Raises SetupError, which names the replica, what differs and what to change,
        and ReplicaFailed where it does not answer."""
        served, length = await self._served(client)
        warnings: list[str] = []
        if not self.settings.router:
            warnings += await self._compared(client, served)
        config = await self._cache_config(client)
        facts = ReplicaFacts(
            served,
            length,
            await self._version(client),
            whole_number(config.get("block_size")),
            whole_number(config.get("num_gpu_blocks")),
            config.get("prefix_caching_hash_algo"),
            config.get("enable_prefix_caching", "True") != "False",
            await self._sockets(client),
        )
        return _with_warnings(client.name, facts, warnings, self.settings)

    async def _served(self, client: ReplicaClient) -> tuple[str, int | None]:
        listed = await _models(client)
        names = [str(m["id"]) for m in listed]
        wanted = self.settings.served_as or names[0]
        if wanted not in names:
            raise SetupError(
                f"fleet '{self.settings.name}': the replica {client.name} serves {_listed(names)} and not "
                f"'{wanted}'; set served_as to one of its names, or start it with --served-model-name {wanted}"
            )
        length = listed[names.index(wanted)].get("max_model_len")
        return wanted, length if isinstance(length, int) and length > 0 else None

    async def _compared(self, client: ReplicaClient, served: str) -> list[str]:
        """Compare tokens of texts, then of conversations; return what could not be or need not agree."""
        if await self._difference(client, served, TEXTS[0]) == _NOT_TOLD:
            return [
                f"the replica {client.name} has no /tokenize: whether its tokenizer and template are those of "
                f"'{self.settings.model}' is not known"
            ]
        for sample in TEXTS:
            if (why := await self._difference(client, served, sample)) is not None:
                raise SetupError(
                    f"fleet '{self.settings.name}': the replica {client.name} has another tokenizer than "
                    f"'{self.settings.model}' ({why}); set model to what the replica was started with"
                )
        for sample in CONVERSATIONS:
            why = await self._difference(client, served, sample)
            if why is None:
                continue
            message = (
                f"fleet '{self.settings.name}': the replica {client.name} has another chat template than "
                f"'{self.settings.model}' ({why})"
            )
            if self.settings.require_same_template and not self.template.uses_clock:
                raise SetupError(
                    f"{message}; start it with that template, or set require_same_template: false, since this "
                    "proxy renders conversations itself"
                )
            return [message]
        return []

    async def _difference(self, client: ReplicaClient, served: str, sample: TokenSample) -> str | None:
        own = sample.tokens(self.tokenizer, self.template)
        try:
            found = await client.post("/tokenize", sample.body(served))
        except InvalidRequest as e:
            # A template that refuses a conversation here and there is the same template.
            return None if own is None else f"it refuses {sample.name}: {e.message[:200]}"
        except ReplicaFailed as e:
            if e.kind == "misconfigured" and e.status == 404:
                return _NOT_TOLD
            raise
        tokens = found.get("tokens") if isinstance(found, dict) else None
        if own is None or not isinstance(tokens, list):
            return (
                None
                if own is None and not isinstance(tokens, list)
                else f"{sample.name} is refused by one of them"
            )
        at = first_difference(own, tokens)
        if at is None:
            return None
        here, there = (ids[at] if at < len(ids) else "none" for ids in (own, tokens))
        return f"{sample.name}: token {at} is {here} here and {there} there"

    async def _version(self, client: ReplicaClient) -> str:
        path = "/version" if self.settings.kind == "vllm" else "/server_info"
        found = await _optional(client, path)
        return str(found.get("version") or "")[:64] if isinstance(found, dict) else ""

    async def _cache_config(self, client: ReplicaClient) -> dict[str, str]:
        if self.settings.kind == "sglang":
            found = await _optional(client, "/server_info")
            page = found.get("page_size") if isinstance(found, dict) else None
            return {} if page is None else {"block_size": str(page)}
        try:
            page_of_metrics = await client.text("GET", "/metrics", within_s=10)
        except (ReplicaFailed, InvalidRequest):
            return {}
        return dict(cache_config(page_of_metrics.decode("utf-8", "replace")))

    async def _sockets(self, client: ReplicaClient) -> tuple[EventSockets, ...]:
        if self.settings.events == "off" or self.settings.router:
            return ()
        host = urlsplit(client.address).hostname or ""
        found = await _optional(client, "/kv_event_sources")
        shown = f"[{host}]" if ":" in host else host
        return event_sockets(found, shown, bound=self.settings.events == "bind")


def _with_warnings(
    name: str, facts: ReplicaFacts, warnings: list[str], settings: FleetSettings
) -> ReplicaFacts:
    found = list(warnings)
    if not facts.caches:
        found.append(f"the replica {name} has prefix caching off: it computes every prompt anew")
    if facts.algorithm not in (None, OWN_ALGORITHM) and settings.events != "off" and settings.kind == "vllm":
        logger.info(
            "the replica %s hashes blocks by '%s': its events are read by the tokens in them, as far as those reach "
            "back; --prefix-caching-hash-algo %s makes that unnecessary",
            name,
            facts.algorithm,
            OWN_ALGORITHM,
        )
    for warning in found:
        logger.warning("%s", warning)
    return replace(facts, warnings=tuple(found))


async def _models(client: ReplicaClient) -> tuple[Mapping[str, Any], ...]:
    """Ask for the models that are served, one at least. Raises ReplicaFailed, whose reason tells what to change, and
    InvalidRequest.

    An address that answers something else is no mismatch: a gateway in front of replicas says so while they start.
    """
    try:
        listed = served_models(await client.text("GET", MODELS, within_s=10))
    except ReplicaFailed as e:
        if e.status not in _ELSEWHERE:
            raise
        raise ReplicaFailed(
            e.replica, "misconfigured", f"{e.why} at {MODELS}: {_ADDRESS}", status=e.status
        ) from e
    if listed is None:
        raise ReplicaFailed(
            client.name, "misconfigured", f"it does not answer {MODELS} with a list of models: {_ADDRESS}"
        )
    if not listed:
        raise ReplicaFailed(client.name, "down", "it serves no model yet")
    return listed


async def _optional(client: ReplicaClient, path: str) -> Any:
    """Return the JSON of an endpoint that a replica need not have; None where it has not."""
    try:
        return await client.get(path)
    except (ReplicaFailed, InvalidRequest):
        return None


def _listed(names: list[str]) -> str:
    return " and ".join(f"'{name}'" for name in names[:5])
