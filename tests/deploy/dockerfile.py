"""The stages of a Dockerfile, for tests without docker."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
TARGETS = ("fleet", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    base: str
    steps: tuple[tuple[str, str], ...] = field(default=())

    def all(self, instruction: str) -> list[str]:
        return [arguments for name, arguments in self.steps if name == instruction]


def stages() -> dict[str, Stage]:
    """By name, in the file's order. A step is its instruction and the rest of its line, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = re.sub(r"\\\n\s*", " ", text)
    found: dict[str, Stage] = {}
    for line in filter(None, text.splitlines()):
        instruction, _, arguments = line.partition(" ")
        if instruction == "FROM":
            base, _, name = arguments.partition(" AS ")
            found[name] = Stage(name, base)
        elif found:
            last = next(reversed(found))
            found[last] = Stage(last, found[last].base, (*found[last].steps, (instruction, arguments)))
    return found


STAGES = stages()


def lineage(name: str) -> list[Stage]:
    """The stage and those that it is made from, the first one first."""
    stage = STAGES[name]
    return [*(lineage(stage.base) if stage.base in STAGES else []), stage]


def copied() -> set[str]:
    """Each path of the context that a stage copies."""
    sources = set()
    for stage in STAGES.values():
        for arguments in stage.all("COPY"):
            if not arguments.startswith("--from="):
                sources |= set(arguments.split()[:-1])
    return sources
