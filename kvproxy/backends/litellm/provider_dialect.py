"""The closeness of a provider of litellm's to OpenAI's dialect, which decides how a body travels to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from kvproxy.backends.base import Endpoint

Dialect = Literal["openai", "kindred", "foreign"]
"""``openai``: the upstream gets the body as it came. ``kindred``: a service of OpenAI's dialect that litellm adapts
requests to; fields without a parameter go along as data. ``foreign``: another dialect, into which litellm translates
the fields that it knows, and nothing else."""

_CLOSENESS: tuple[Dialect, ...] = ("foreign", "kindred", "openai")

SERVERS = frozenset(
    (
        "hosted_vllm openai_like custom_openai lm_studio llamafile xinference docker_model_runner lemonade "
        "litellm_proxy"
    ).split()
)
"""Servers of OpenAI's own dialect that people run themselves. litellm's adapters for them only drop fields without a
name of its own, from requests and from answers; so they are called as ``openai/`` is."""

_OWN_RESPONSES = ("hosted_vllm", "litellm_proxy")
"""Of those, the ones with ``/v1/responses``; the others are asked by way of chat completions."""

_KINDRED = ("azure", "openrouter", "text-completion-openai")
"""Kindred providers beside the ones with an adapter that builds on OpenAI's."""

_UNCALLABLE = ("custom_openai", "openai_like")
"""litellm 1.105.3 cannot answer Anthropic's endpoint by way of these."""

_OWN_MESSAGES = ("anthropic",)

_STRIPPED = {
    "fireworks_ai": frozenset(
        (
            "add_generation_prompt add_special_tokens allowed_token_ids bad_words best_of chat_template_kwargs "
            "continue_final_message detokenize guided_choice guided_decoding_backend guided_grammar guided_json "
            "guided_regex include_reasoning include_stop_str_in_output nvext skip_special_tokens "
            "spaces_between_special_tokens stop_token_ids truncate_prompt_tokens use_beam_search"
        ).split()
    )
}
"""By provider, the fields that its adapter takes out or changes."""

_NO_KEY = "none"
"""Sent where a server has no key: litellm would else send it OpenAI's, out of the environment."""


@dataclass(frozen=True, slots=True)
class ProviderDialect:
    """One deployment. ``supported``: the chat parameters that litellm adapts for it."""

    params: dict[str, Any]
    dialect: Dialect
    supported: frozenset[str] = frozenset()
    chat_only: bool = False
    """Responses are translated to chat completions."""
    own_messages: bool = False
    """It speaks Anthropic's dialect itself."""
    drops: frozenset[str] = frozenset()
    """Fields that litellm's adapter takes out of the data."""
    messages_params: dict[str, Any] | None = None
    """``params`` for Anthropic's endpoint, where they are others."""
    own_server: bool = False
    """A server with a chat template that may know no role but system, user, assistant and tool."""

    def transparent(self, endpoint: Endpoint) -> bool:
        """Whether it reads a client's body of this endpoint as it is."""
        return (
            self.dialect == "openai"
            and endpoint != "messages"
            and not (endpoint == "responses" and self.chat_only)
        )


def least(upstreams: Sequence[ProviderDialect]) -> ProviderDialect:
    """Return the dialect that holds for all upstreams that may answer: that of the one with the fewest fields."""
    ranked = sorted(upstreams, key=lambda u: _CLOSENESS.index(u.dialect))
    supported = [u.supported for u in upstreams if u.dialect != "openai"]
    return replace(
        ranked[0],
        supported=frozenset.intersection(*supported) if supported else frozenset(),
        chat_only=any(u.chat_only for u in upstreams),
        own_messages=all(u.own_messages for u in upstreams),
        drops=frozenset().union(*(u.drops for u in upstreams)),
        own_server=any(u.own_server for u in upstreams),
    )


def upstream(litellm: Any, params: Mapping[str, Any]) -> ProviderDialect:
    """``params``: litellm's own for one deployment, as configured."""
    asked = {name: params.get(name) for name in ("custom_llm_provider", "api_base", "api_key")}
    asked["api_base"] = asked["api_base"] or params.get("base_url")
    try:
        model, provider, key, base = litellm.get_llm_provider(model=str(params["model"]), **asked)
    except Exception:
        return ProviderDialect(
            dict(params), "foreign"
        )  # litellm says what is wrong with it when it is called
    if provider in SERVERS and base:
        return _server(params, model, provider, key or asked["api_key"], base)
    chat_only = bool(params.get("use_chat_completions_api")) or not _has_responses(litellm, model, provider)
    if provider == "openai":
        return ProviderDialect(dict(params), "openai", chat_only=chat_only)
    known = litellm.get_supported_openai_params(model=model, custom_llm_provider=provider) or ()
    dialect: Dialect = "kindred" if _kindred(litellm, model, provider) else "foreign"
    return ProviderDialect(
        dict(params),
        dialect,
        frozenset(known),
        chat_only,
        own_messages=provider in _OWN_MESSAGES,
        drops=_STRIPPED.get(provider, frozenset()),
    )


def _has_responses(litellm: Any, model: str, provider: str) -> bool:
    try:
        named = litellm.LlmProviders(provider)
        return (
            litellm.utils.ProviderConfigManager.get_provider_responses_api_config(provider=named, model=model)
            is not None
        )
    except Exception:
        return False


def _server(
    params: Mapping[str, Any], model: str, provider: str, key: str | None, base: str
) -> ProviderDialect:
    kept = {k: v for k, v in params.items() if k not in ("custom_llm_provider", "base_url")}
    chat_only = bool(params.get("use_chat_completions_api", provider not in _OWN_RESPONSES))
    if chat_only:
        kept["use_chat_completions_api"] = True
    return ProviderDialect(
        {**kept, "model": f"openai/{model}", "api_base": base, "api_key": key or _NO_KEY},
        "openai",
        chat_only=chat_only,
        messages_params=dict(params) if provider not in _UNCALLABLE else None,
        own_server=True,
    )


def _kindred(litellm: Any, model: str, provider: str) -> bool:
    if provider in _KINDRED or provider in litellm.openai_compatible_providers:
        return True
    try:
        config = litellm.utils.ProviderConfigManager.get_provider_chat_config(
            model, litellm.LlmProviders(provider)
        )
    except Exception:
        return False
    return isinstance(config, litellm.OpenAIGPTConfig)
