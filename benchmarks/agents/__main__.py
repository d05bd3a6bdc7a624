"""Run the real agent programs, twice each, against the real engine, in a network that has loopback alone.

Prints a table: whether each works, the cached share of its second session's prompt, the settings that it needs. Takes
minutes, most of them the cold prefills of prompts of 6,000 to 20,000 tokens on a CPU.
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

from benchmarks.agents.installed import install
from benchmarks.agents.programs import PROGRAMS, Program
from benchmarks.agents.served import CONTEXT, NAME, Served, proxy
from benchmarks.agents.session import Place, session
from benchmarks.agents.table import HEAD, Row
from kvproxy.agents.recipe import Door

QUESTIONS = ("What does my note say about the launch?", "On which day is the launch, please?")
INSIDE = "KVPROXY_AGENTS_INSIDE"


def main() -> None:
    given = _arguments()
    folder: Path = given.folder.absolute()
    if not os.environ.get(INSIDE):
        install(PROGRAMS, folder)
        raise SystemExit(_isolated([sys.executable, "-m", "benchmarks.agents", *sys.argv[1:]]))
    print(HEAD, flush=True)
    plan = Plan(folder, (given.run or folder / "run").absolute(), given.slow, given.limit, given.sessions)
    rows = asyncio.run(measure(given.names, plan))
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))
    raise SystemExit(0 if all(row.works for row in rows) else 1)


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings of a run.

    ``agents`` is the folder of the installed programs, ``run`` that of their homes and the proxy; ``_s``: seconds.
    """

    agents: Path
    run: Path
    slow_s: float
    limit_s: float
    sessions: int


async def measure(names: list[str], plan: Plan) -> list[Row]:
    """Run all programs; each one's row is printed as soon as it is known."""
    rows: list[Row] = []
    async with proxy(plan.run, slow_s=plan.slow_s) as served:
        for program in PROGRAMS:
            if not names or any(name.lower() in program.name.lower() for name in names):
                rows.append(await _row(program, served, plan))
                print(rows[-1].line, flush=True)
    return rows


async def _row(program: Program, served: Served, plan: Plan) -> Row:
    name = "".join(c if c.isalnum() else "-" for c in program.name.lower())
    place = Place(plan.agents, plan.run / name)
    shutil.rmtree(place.folder, ignore_errors=True)
    sessions = [
        await session(program, served, place, question, first=number == 0, limit_s=plan.limit_s)
        for number, question in enumerate(QUESTIONS[: plan.sessions])
    ]
    recipe = program.recipe(Door(served.url, NAME, CONTEXT))
    options = (argument for argument in recipe.arguments if argument.startswith("-"))
    return Row(program.name, program.version, sessions, sorted({*recipe.variables, *options}))


def _isolated(command: list[str]) -> int:
    """Run ``command`` in a network namespace of its own, from which it can send nothing out of this machine."""
    inside = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], check=False).returncode:
        sys.exit("this needs `unshare --net` and `ip`, of Debian's util-linux and iproute2")
    return subprocess.run([*inside, *command], env={**os.environ, INSIDE: "1"}, check=False).returncode


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agents", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of programs' names; none: all")
    parser.add_argument(
        "--folder", type=Path, default=Path(".agents"), help="where they are installed and run"
    )
    parser.add_argument(
        "--run", type=Path, help="where they and the proxy live meanwhile; default: run, in the folder"
    )
    parser.add_argument("--sessions", type=int, choices=(1, 2), default=2, help="of each")
    parser.add_argument(
        "--slow", type=float, default=0.0, metavar="S", help="every first token takes so much longer"
    )
    parser.add_argument("--limit", type=float, default=900.0, metavar="S", help="for each session")
    parser.add_argument("--json", type=Path, help="write all that was seen here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
