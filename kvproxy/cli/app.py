"""The command line. Heavy imports stand inside the commands, so that ``--help`` is instant."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from kvproxy import __version__
from kvproxy.cli.bench import bench
from kvproxy.cli.docs_commands import docs
from kvproxy.cli.document_file_commands import document_files
from kvproxy.cli.market_commands import add_market_commands
from kvproxy.cli.options import (
    HERE,
    ConfigFile,
    Key,
    Model,
    StoreFolder,
    Url,
    read_config,
)
from kvproxy.cli.publish_command import publishing
from kvproxy.cli.request_commands import seeing
from kvproxy.cli.residency_commands import residency
from kvproxy.cli.serve_command import serve
from kvproxy.cli.terms_command import pricing
from kvproxy.cli.top_command import figures
from kvproxy.cli.upkeep_commands import add_upkeep_commands
from kvproxy.cli.version_commands import versions
from kvproxy.documents.library.document_info import GREEDY_TOKENS
from kvproxy.errors import KVProxyError, SetupError

if TYPE_CHECKING:
    from kvproxy.client import Client


class _OneLineErrors(TyperGroup):
    """A foreseen failure is one line on stderr: status 2 when nothing could be started, else 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KVProxyError as e:
            typer.echo(f"kvproxy: {e.message}", err=True)
            raise typer.Exit(2 if isinstance(e, SetupError) else 1) from e


app = typer.Typer(
    cls=_OneLineErrors,
    name="kvproxy",
    help="An OpenAI-compatible proxy that makes a document cost its prefill once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(docs, name="docs")
app.add_typer(bench, name="bench")
add_market_commands(app)
add_upkeep_commands(app)
app.command()(serve)
app.add_typer(publishing)
app.add_typer(seeing)
app.add_typer(figures)
docs.add_typer(pricing)
docs.add_typer(document_files)
docs.add_typer(residency)
docs.add_typer(versions)

NOT_COMPARED = 3
"""The exit status of a verification that found no difference, and could not compare all."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kvproxy {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Handle the options in front of a command."""


def _client(url: str, api_key: str | None) -> Client:
    from kvproxy.client import Client

    return Client(url, api_key)


@app.command(context_settings={"ignore_unknown_options": True})
def env(
    agent: Annotated[str, typer.Argument(help="claude, codex, opencode, aider, llm, qwen, continue, …")],
    command: Annotated[
        list[str] | None, typer.Argument(help="With --run: what to start.", show_default=False)
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Start it: --run -- COMMAND …")] = False,
    model: Annotated[str | None, typer.Option(help="One of the proxy's models.  [the local one]")] = None,
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Print the settings with which an agent uses this proxy: eval "$(kvproxy env claude)"."""
    from kvproxy.agents.launch import run as start
    from kvproxy.agents.launch import shell_lines
    from kvproxy.agents.recipe import NO_KEY, Door
    from kvproxy.agents.recipes import RECIPES

    if agent not in RECIPES:
        raise typer.BadParameter(f"'{agent}' is none of {', '.join(RECIPES)}")
    with _client(url, api_key) as client:
        served = client.served(model)
    door = Door(client.root, served["id"], served.get("max_model_len") or 32_768, api_key or NO_KEY)
    recipe = RECIPES[agent](door)
    if not run:
        typer.echo(shell_lines(recipe), nl=False)
        return
    raise typer.Exit(start(recipe, command or [recipe.command or agent]))


@app.command()
def mcp(
    http: Annotated[
        str | None,
        typer.Option(help="Serve streamable HTTP at HOST:PORT, path /mcp.  [stdio]", show_default=False),
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="KVPROXY_MCP_TOKEN", help="With --http: the bearer token to ask for.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="With --http: one more name that clients call this host by.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Let it publish files below this folder.")] = None,
    allow_delete: Annotated[bool, typer.Option("--allow-delete", help="Offer delete_document too.")] = False,
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Offer a running proxy to agents as an MCP server: publish, list, ask with documents, explain."""
    from kvproxy.mcp_server.exposure import read_exposure
    from kvproxy.mcp_server.extra import McpOptions, run_mcp

    if http is None and allow_host:  # a token may stand in the environment for another server
        raise typer.BadParameter("--allow-host needs --http")
    exposure = None if http is None else read_exposure(http, token, allow_host or ())
    with suppress(KeyboardInterrupt):
        run_mcp(
            McpOptions(url, api_key, exposure, root, allow_delete),
            announce=lambda where: typer.echo(f"MCP at {where}", err=True),
        )


@app.command()
def demo() -> None:
    """Publish two documents on the bundled model and show the cost of a cold and a warm question."""
    from kvproxy.cli.demo import run_demo

    raise typer.Exit(run_demo())


@app.command()
def verify(
    documents: Annotated[
        list[str] | None, typer.Argument(help="Published documents, e.g. handbook@3.", show_default=False)
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every document that this API key may read, all versions.")
    ] = False,
    tokens: Annotated[
        int, typer.Option(min=1, help="How many tokens of the greedy answers to compare.")
    ] = GREEDY_TOKENS,
    model: Annotated[
        str | None, typer.Option(help="The served model, e.g. a fleet's name. Default: the first one.")
    ] = None,
    url: Url = HERE,
    api_key: Key = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Compare hits with a prefill from scratch, every position, cut at every page.

    Of a fleet, two answers of one replica are compared, and their agreement is told: greedy tokens and logprobs.

    Status 0: all equal to the bit, or of a fleet all greedy tokens the same; 1: something differs; 3: something could
    not be compared.
    """
    if every == bool(documents):
        raise typer.BadParameter("name documents, or give --all")
    from kvproxy.terminal.progress import Progress
    from kvproxy.terminal.tables import print_verifications

    rows: list[dict[str, Any]] = []
    failed = False
    try:
        with _client(url, api_key) as client:
            if every:
                documents = [f"{d['id']}@{d['version']}" for d in client.documents()]
            for document in documents or ():
                with Progress(f"verify {document}") as progress:
                    rows += client.verify(document, tokens=tokens, model=model, progress=progress)["data"]
    except KVProxyError as e:
        typer.echo(f"kvproxy: {e.message}", err=True)
        failed = True
    # What was compared before a failure is shown: a difference in it must not be lost.
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif rows or not failed:
        print_verifications(rows)
    raise typer.Exit(_verified(rows, failed=failed))


def _verified(rows: list[dict[str, Any]], *, failed: bool) -> int:
    """Return the status of a verification."""
    from kvproxy.terminal.tables import agreed

    if any(not (row["exact"] or agreed(row)) and not row["note"] for row in rows):
        return 1
    return NOT_COMPARED if failed or any(row["note"] for row in rows) else 0


@app.command()
def doctor(config: ConfigFile = None, model: Model = None, store: StoreFolder = None) -> None:
    """Examine this installation, before anything is served, for causes of impossible, wrong or slow hits."""
    from kvproxy.cli.doctor import examine
    from kvproxy.config import default_cache_dir
    from kvproxy.terminal.finding import Finding
    from kvproxy.terminal.progress import Progress
    from kvproxy.terminal.tables import print_findings

    try:
        settings = read_config(config, model__path=model, store__path=store)
    except SetupError as e:
        findings = [
            Finding("fail", "config", e.message, "correct it; config.example.yaml shows every setting")
        ]
    else:
        where = str(config) if config is not None else "defaults"
        with Progress(f"preparing {settings.served_names[0]}", unit="tensors") as progress:
            findings = [Finding("ok", "config", where), *examine(settings, default_cache_dir(), progress)]
    print_findings(findings)
    raise typer.Exit(1 if any(f.level == "fail" for f in findings) else 0)
