"""`Program`: the agents, each with its packages, its settings for the proxy, and its command line for a question."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kvproxy.agents import recipes
from kvproxy.agents.recipe import Door, Recipe

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Program:
    """An agent program.

    ``npm`` or ``pip``: packages with exact versions, the first of which is the program. ``ask``: the command line
    behind the recipe's own arguments for a question; ``{agents}`` is the folder of all installed programs.
    """

    name: str
    recipe: Callable[[Door], Recipe]
    ask: Callable[[str], Sequence[str]]
    npm: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    calls_a_tool: bool = True
    files: Mapping[str, str] = field(default_factory=dict)
    """Text by path below its home folder."""

    @property
    def version(self) -> str:
        return (self.npm or self.pip)[0].replace("==", "@").rpartition("@")[2]


def _codex(question: str) -> list[str]:
    notes = json.dumps([str(HERE / "notes_mcp.py")])
    server = f"mcp_servers.notes={{command={json.dumps(sys.executable)}, args={notes}}}"
    return [
        "-c",
        server,
        "exec",
        "--skip-git-repo-check",
        "--dangerously-bypass-approvals-and-sandbox",
        question,
    ]


def _opencode(package: str, path: str) -> Callable[[Door], Recipe]:
    """Return opencode over another of AI SDK's packages; ``path`` is appended to the proxy's root for it."""

    def recipe(door: Door) -> Recipe:
        plain = recipes.opencode(door)
        config = json.loads(plain.variables["OPENCODE_CONFIG_CONTENT"])
        config["provider"]["kvproxy"] |= {"npm": package}
        config["provider"]["kvproxy"]["options"]["baseURL"] = door.root + path
        return Recipe("opencode", {"OPENCODE_CONFIG_CONTENT": json.dumps(config)})

    return recipe


def _script(name: str, *more: str) -> Callable[[str], list[str]]:
    return lambda question: [f"{{agents}}/{name}", *more, question]


def _node(door: Door) -> Recipe:
    """Return the recipe of this folder's small programs: base_url and the model's name."""
    return Recipe("node", {"KVPROXY_ROOT": door.root, "KVPROXY_MODEL": door.model})


AI_SDK = (
    "ai@7.0.173",
    "@ai-sdk/anthropic@3.0.140",
    "@ai-sdk/openai@3.0.141",
    "@ai-sdk/openai-compatible@2.0.92",
    "zod@4.6.7",
)

PROGRAMS: tuple[Program, ...] = (
    Program(
        "Claude Code",
        recipes.claude,
        lambda question: ["-p", question, "--output-format", "json", "--allowedTools", "Read"],
        npm=("@anthropic-ai/claude-code@2.1.197",),
    ),
    Program("Codex, with an MCP server", recipes.codex, _codex, npm=("@openai/codex@0.171.0",)),
    *(
        Program(
            f"opencode, {package}",
            _opencode(package, path),
            lambda question: ["run", question],
            npm=("opencode-ai@1.18.33",),
        )
        for package, path in (
            ("@ai-sdk/openai-compatible", "/v1"),
            ("@ai-sdk/openai", "/v1"),
            ("@ai-sdk/anthropic", "/v1"),
        )
    ),
    Program(
        "Qwen Code",
        recipes.qwen,
        lambda question: ["-p", question, "--yolo"],
        npm=("@qwen-code/qwen-code@0.15.10",),
    ),
    Program(
        "Continue (cn)",
        recipes.continue_,
        lambda question: ["-p", question, "--auto"],
        npm=("@continuedev/cli@1.5.47",),
    ),
    Program(
        "aider",
        recipes.aider,
        lambda question: [
            *("--message", question, "--yes-always", "--no-git", "--no-check-update", "--analytics-disable"),
            *("--no-show-release-notes", "--no-pretty", "--no-auto-commits"),
            *(
                "--chat-history-file",
                "{folder}/chat.md",
                "--input-history-file",
                "{folder}/input",
                "note.txt",
            ),
        ],
        pip=("aider-chat==0.86.2",),
        calls_a_tool=False,
    ),
    Program("llm", recipes.llm, lambda question: ["-T", "llm_time", question], pip=("llm==0.30",)),
    *(
        Program(f"AI SDK, {package}", _node, _script("ai_sdk.mjs", package), npm=AI_SDK)
        for package in ("@ai-sdk/openai-compatible", "@ai-sdk/openai", "@ai-sdk/anthropic")
    ),
    Program(
        "OpenAI Agents JS", _node, _script("openai_agents.mjs"), npm=("@openai/agents@0.20.0", "zod@4.6.7")
    ),
    Program(
        "LangChain JS",
        _node,
        _script("langchain.mjs"),
        npm=("@langchain/openai@1.5.8", "@langchain/core@1.4.0", "zod@4.6.7"),
    ),
)
