"""`Session`: one run of one agent: a fresh process, a question, and the requests that reached the proxy."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.agents.installed import bin_folders
from benchmarks.agents.programs import Program
from benchmarks.agents.scripted import Asked
from benchmarks.agents.served import CONTEXT, NAME, Served
from kvproxy.agents.recipe import Door

NOTE = "The launch is on Friday.\n"
TOLD = 4000
"""Characters of a program's output that are remembered."""


@dataclass(frozen=True, slots=True)
class Session:
    """The result of one run.

    ``prompt_tokens``, ``identical`` and ``cached`` are of its first request with a prompt about as long as its
    longest: the agent's own, not a title's.
    """

    ended_well: bool
    requests: int
    refused: list[str]
    called: str | None
    prompt_tokens: int
    identical: int
    cached: int
    said: str


@dataclass(frozen=True, slots=True)
class Place:
    """The place where a program lives and works. ``agents``: the folder where all of them are installed."""

    agents: Path
    folder: Path

    @property
    def project(self) -> Path:
        return self.folder / "project"

    def prepare(self, files: Mapping[str, str]) -> None:
        for path in (self.folder / "home", self.project):
            path.mkdir(parents=True, exist_ok=True)
        (self.project / "note.txt").write_text(NOTE)
        for name, text in files.items():
            (self.folder / name).write_text(text)

    def filled(self, text: str) -> str:
        return text.replace("{folder}", str(self.folder)).replace("{agents}", str(self.agents))

    def variables(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return an environment with a home of its own, and none of the variables that this process has."""
        places = os.pathsep.join([*map(str, bin_folders(self.agents)), os.environ["PATH"]])
        plain = {"TERM": "dumb", "CI": "1", "NO_COLOR": "1", "LANG": "C.UTF-8"}
        # Whatever repository this stands in is none of theirs.
        own = {"HOME": str(self.folder / "home"), "PATH": places, "GIT_CEILING_DIRECTORIES": str(self.folder)}
        return {**plain, **own, **{name: self.filled(value) for name, value in more.items()}}


async def session(
    program: Program, served: Served, place: Place, question: str, *, first: bool, limit_s: float
) -> Session:
    """Run one session. The program's failures are in the result, they are not raised."""
    recipe = program.recipe(Door(served.url, NAME, CONTEXT))
    place.prepare(recipe.files)
    command = [recipe.command, *map(place.filled, [*recipe.arguments, *program.ask(question)])]
    before = len(served.requests())
    served.script.begin(str(place.project))
    status, told = await _run(command, place, place.variables(recipe.variables), limit_s)
    (place.folder / f"output-{1 if first else 2}.txt").write_text(told)
    (place.folder / "shapes.json").write_text(json.dumps(served.shapes, indent=1))
    served.shapes.clear()
    done = served.requests()[before:]
    refused = [f"{r['status']} {r['reason']} {r['endpoint']}" for r in done if r["outcome"] == "refused"]
    called = next((asked.called for asked in served.script.asked if asked.called), None)
    main = _main(served.script.asked)
    return Session(
        ended_well=status == 0 and (called is not None or not program.calls_a_tool),
        requests=len(done),
        refused=refused,
        called=called,
        prompt_tokens=main.prompt_tokens,
        identical=main.identical,
        cached=main.cached,
        said=told[-TOLD:],
    )


async def _run(
    command: Sequence[str], place: Place, variables: Mapping[str, str], limit_s: float
) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=place.project,
        env=dict(variables),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), limit_s)
    except TimeoutError:
        process.kill()
        return -1, f"(it did not end within {limit_s:.0f} s)"
    return process.returncode or 0, output.decode("utf-8", "replace")


def _main(asked: Sequence[Asked]) -> Asked:
    longest = max((a.prompt_tokens for a in asked), default=0)
    return next((a for a in asked if a.prompt_tokens >= 0.8 * longest), Asked(0, 0))
