"""One function for each agent, and the table of them by the names that ``kvproxy env`` takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from kvproxy.agents.recipe import Door, Recipe


def claude(door: Door) -> Recipe:
    """Claude Code. It asks small models of its own for titles and the like: all names mean the proxy's model."""
    models = ("ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL")
    tiers = ("HAIKU", "SONNET", "OPUS")
    return Recipe(
        "claude",
        {
            "ANTHROPIC_BASE_URL": door.root,
            "ANTHROPIC_AUTH_TOKEN": door.api_key,
            **dict.fromkeys(models, door.model),
            **{f"ANTHROPIC_DEFAULT_{tier}_MODEL": door.model for tier in tiers},
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
        note="Its own prompt and tools take some 20,000 tokens: the model's context must be larger.",
    )


def codex(door: Door) -> Recipe:
    """Codex. A provider of its own, given on the command line: nothing is written into its config.toml."""
    provider = (
        f'{{name="kvproxy", base_url="{door.base_url}", wire_api="responses", env_key="KVPROXY_API_KEY"}}'
    )
    return Recipe(
        "codex",
        {"KVPROXY_API_KEY": door.api_key},
        (
            "-c",
            f"model_providers.kvproxy={provider}",
            "-c",
            'model_provider="kvproxy"',
            "-c",
            f"model_context_window={door.max_context}",
            "-m",
            door.model,
        ),
    )


def opencode(door: Door) -> Recipe:
    """Return the recipe of opencode: a provider in a configuration file of its own."""
    model = {"name": door.model, "limit": {"context": door.max_context, "output": door.answer_tokens}}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "kvproxy",
        "options": {"baseURL": door.base_url, "apiKey": door.api_key},
        "models": {door.model: model},
    }
    name = f"kvproxy/{door.model}"
    config = {"provider": {"kvproxy": provider}, "model": name, "small_model": name}
    return Recipe("opencode", {"OPENCODE_CONFIG_CONTENT": json.dumps(config)})


def aider(door: Door) -> Recipe:
    """Return the recipe of aider, through litellm. The file has the facts of the model that aider would ask about."""
    name = f"openai/{door.model}"
    about = {
        name: {
            "max_tokens": door.answer_tokens,
            "max_input_tokens": door.max_context,
            "max_output_tokens": door.answer_tokens,
            "input_cost_per_token": 0,
            "output_cost_per_token": 0,
            "litellm_provider": "openai",
            "mode": "chat",
        }
    }
    return Recipe(
        "aider",
        {
            "OPENAI_API_BASE": door.base_url,
            "OPENAI_API_KEY": door.api_key,
            "AIDER_MODEL": name,
            "AIDER_MODEL_METADATA_FILE": "{folder}/.aider.model.metadata.json",
        },
        files={".aider.model.metadata.json": json.dumps(about, indent=2) + "\n"},
        where="your home folder",
    )


def llm(door: Door) -> Recipe:
    """Simon Willison's ``llm``, which knows other servers by a file alone."""
    entry = (
        f"- model_id: {door.model}\n  model_name: {door.model}\n  api_base: {json.dumps(door.base_url)}\n"
        "  supports_tools: true\n  supports_schema: true\n"
    )
    return Recipe(
        "llm",
        {"OPENAI_API_KEY": door.api_key, "LLM_MODEL": door.model, "LLM_USER_PATH": "{folder}"},
        files={"extra-openai-models.yaml": entry},
        where="the folder that `dirname $(llm logs path)` prints",
    )


def qwen(door: Door) -> Recipe:
    """Return the recipe of Qwen Code."""
    return Recipe(
        "qwen",
        {"OPENAI_BASE_URL": door.base_url, "OPENAI_API_KEY": door.api_key, "OPENAI_MODEL": door.model},
        ("--auth-type", "openai"),
    )


def continue_(door: Door) -> Recipe:
    """Continue's terminal program ``cn``; its editor extensions read the same file."""
    limits = f"{{contextLength: {door.max_context}, maxTokens: {door.answer_tokens}}}"
    config = (
        "name: kvproxy\nversion: 1.0.0\nschema: v1\nmodels:\n"
        f"  - name: {door.model}\n    provider: openai\n    model: {door.model}\n"
        f"    apiBase: {json.dumps(door.base_url)}\n    apiKey: {json.dumps(door.api_key)}\n"
        f"    roles: [chat, edit, apply]\n    defaultCompletionOptions: {limits}\n"
    )
    return Recipe(
        "cn",
        arguments=("--config", "{folder}/config.yaml"),
        files={"config.yaml": config},
        where="~/.continue",
    )


def open_webui(door: Door) -> Recipe:
    """Return the recipe of Open WebUI."""
    return Recipe(
        "open-webui",
        {
            "OPENAI_API_BASE_URL": door.base_url,
            "OPENAI_API_KEY": door.api_key,
            "ENABLE_OLLAMA_API": "false",
        },
        note=f"It lists the proxy's models by itself; choose {door.model}.",
    )


def openai(door: Door) -> Recipe:
    """Whatever is built on OpenAI's own SDKs."""
    return Recipe(
        "",
        {"OPENAI_BASE_URL": door.base_url, "OPENAI_API_KEY": door.api_key},
        note=f"The model is called {door.model}.",
    )


def anthropic(door: Door) -> Recipe:
    """Whatever is built on Anthropic's own SDKs."""
    return Recipe(
        "",
        {"ANTHROPIC_BASE_URL": door.root, "ANTHROPIC_AUTH_TOKEN": door.api_key},
        note=f"The model is called {door.model}.",
    )


RECIPES: Mapping[str, Callable[[Door], Recipe]] = {
    "claude": claude,
    "codex": codex,
    "opencode": opencode,
    "aider": aider,
    "llm": llm,
    "qwen": qwen,
    "continue": continue_,
    "open-webui": open_webui,
    "openai": openai,
    "anthropic": anthropic,
}
