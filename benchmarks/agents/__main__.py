"""``make agents``: the real programs, twice each, against the real engine in a network that has loopback alone.

Prints a table: does it work, what was cached of its second session's prompt, what had to be set. Takes minutes, most of
them the cold prefills of prompts of 6,000 to 20,000 tokens on a CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.agents.installed import bin_folders, install
from benchmarks.agents.programs import PROGRAMS, Program
from benchmarks.agents.served import CONTEXT, NAME, Served, proxy
from kvproxy.agents.recipe import Door

QUESTIONS = ("What does my note say about the launch?", "On which day is the launch, please?")
INSIDE = "KVPROXY_AGENTS_INSIDE"


@dataclass(frozen=True, slots=True)
class Session:
    ended_well: bool
    requests: int
    refused: list[str]
    called: str | None
    prompt_tokens: int
    """Of its first request with the largest prompt: the agent's own, not a title's."""
    identical: int
    cached: int
    said: str


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    version: str
    sessions: list[Session]
    set: list[str]

    @property
    def works(self) -> bool:
        return all(s.ended_well and s.requests and not s.refused for s in self.sessions)


async def session(
    program: Program, served: Served, folder: Path, question: str, *, first: bool, limit_s: float
) -> Session:
    home, cwd = folder / "home", folder / "project"
    for path in (home, cwd):
        path.mkdir(parents=True, exist_ok=True)
    (cwd / "note.txt").write_text("The launch is on Friday.\n")
    recipe = program.recipe(Door(served.url, NAME, CONTEXT))
    for name, text in recipe.files.items():
        (folder / name).write_text(text)
    agents = folder.parent.parent

    def fill(text: str) -> str:
        return text.replace("{folder}", str(folder)).replace("{agents}", str(agents))

    command = [recipe.command, *map(fill, [*recipe.arguments, *program.ask(question)])]
    path = os.pathsep.join([*map(str, bin_folders(agents)), os.environ["PATH"]])
    variables = {
        "HOME": str(home),
        "PATH": path,
        "TERM": "dumb",
        "CI": "1",
        "NO_COLOR": "1",
        "LANG": "C.UTF-8",
    }
    variables |= {name: fill(value) for name, value in recipe.variables.items()}
    before = len(served.requests())
    served.script.begin(str(cwd), new_program=first)
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), limit_s)
    except TimeoutError:
        process.kill()
        output, _ = await process.communicate()
        output += b"\n(it did not end)"
    told = output.decode("utf-8", "replace")
    (folder / f"output-{1 if first else 2}.txt").write_text(told)
    done = served.requests()[before:]
    refused = [f"{r['status']} {r['reason']} {r['endpoint']}" for r in done if r["outcome"] == "refused"]
    asked = served.script.asked
    main = max(asked, key=lambda a: a.prompt_tokens, default=None) if not first else None
    main = next((a for a in asked if a.prompt_tokens >= 0.8 * max(b.prompt_tokens for b in asked)), main)
    called = next((a.called for a in asked if a.called), None)
    well = process.returncode == 0 and (not program.calls_a_tool or called is not None)
    counts = (main.prompt_tokens, main.identical, main.cached) if main is not None else (0, 0, 0)
    return Session(well, len(done), refused, called, *counts, told[-2000:])


async def measure(names: list[str], folder: Path, *, delay_s: float, limit_s: float) -> list[Row]:
    rows: list[Row] = []
    async with proxy(folder, delay_s=delay_s) as served:
        for program in PROGRAMS:
            if names and not any(name.lower() in program.name.lower() for name in names):
                continue
            place = folder / program.name.lower().replace(" ", "-").replace("/", "-").replace(
                ",", ""
            ).replace("@", "")
            shutil.rmtree(place, ignore_errors=True)
            sessions = [
                await session(program, served, place, question, first=first, limit_s=limit_s)
                for question, first in zip(QUESTIONS, (True, False), strict=True)
            ]
            recipe = program.recipe(Door(served.url, NAME, CONTEXT))
            wanted = [*recipe.variables, *(a for a in recipe.arguments if a.startswith("-"))]
            rows.append(Row(program.name, program.version, sessions, sorted(set(wanted))))
            print(line(rows[-1]), flush=True)
    return rows


def line(row: Row) -> str:
    second = row.sessions[1]
    share = f"{100 * second.cached / second.identical:.1f} %" if second.identical else "-"
    works = (
        "yes"
        if row.works
        else f"NO ({'; '.join(sum((s.refused for s in row.sessions), [])[:2]) or 'see its output'})"
    )
    called = second.called or "-"
    return (
        f"| {row.name} | {row.version} | {works} | {called} | {second.cached:,} of {second.prompt_tokens:,} | {share} "
        f"| {', '.join(row.set)} |"
    )


HEAD = (
    "| program | version | works | tool called | cached of prompt, second session | of what is identical | what was set |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agents", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of programs' names; none: all")
    parser.add_argument(
        "--folder", type=Path, default=Path(".agents"), help="where they are installed and run"
    )
    parser.add_argument(
        "--slow", type=float, default=0.0, metavar="S", help="every prefill takes so much longer"
    )
    parser.add_argument("--limit", type=float, default=600.0, metavar="S", help="for each session")
    parser.add_argument("--json", type=Path, help="write all that was seen here")
    given = parser.parse_args()
    folder = given.folder.absolute()
    if not os.environ.get(INSIDE):
        install(PROGRAMS, folder)
        # Nothing that they send may leave this machine: a network namespace of their own has loopback alone.
        inside = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        if shutil.which("unshare") is None or subprocess.run([*inside, "true"], check=False).returncode:
            sys.exit("this needs `unshare --net` and `ip`, from Debian's util-linux and iproute2")
        command = [*inside, sys.executable, "-m", "benchmarks.agents", *sys.argv[1:]]
        raise SystemExit(subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode)
    print(HEAD, flush=True)
    rows = asyncio.run(measure(given.names, folder / "run", delay_s=given.slow, limit_s=given.limit))
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))
    raise SystemExit(0 if all(row.works for row in rows) else 1)


if __name__ == "__main__":
    main()
