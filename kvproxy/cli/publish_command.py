"""`kvproxy publish`: publish a document for all, for those whom a grant lets in, or for this tenant alone."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from kvproxy.cli.bulk.bulk_run import BulkOptions
from kvproxy.cli.bulk.bulk_sources import is_url, plan_sources
from kvproxy.cli.options import HERE, Key, Url, read_size, read_text

TextReadersChoice = Literal["discount", "full_price"]


publishing = typer.Typer()


_SourceNames = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE|FOLDER|GLOB|URL|-...",
        help="Text in UTF-8 (or UTF-16 with its mark); - is stdin. A folder, a pattern in quotes, a URL, or "
        "several: each text gets an id from its path.",
    ),
]
_DocumentId = Annotated[
    str | None, typer.Option("--id", help="What readers name a single text by, e.g. handbook.")
]
_Private = Annotated[bool, typer.Option("--private", help="For this API key's tenant alone.")]
_Public = Annotated[bool, typer.Option("--public", help="For every caller.")]
_Granted = Annotated[bool, typer.Option("--granted", help="For those whom a grant lets in.")]
_Ttl = Annotated[int | None, typer.Option(min=1, help="Seconds after which it is not served any more.")]
_Pin = Annotated[bool | None, typer.Option("--pin/--unpin", help="Keep its KV in memory.")]
_Per1000 = Annotated[
    str | None, typer.Option("--price-per-1000", help="For a thousand tokens of it, e.g. 0.02.")
]
_Share = Annotated[str | None, typer.Option("--price-share", help="Of what a read saves, e.g. 25%.")]
_Free = Annotated[bool, typer.Option("--free", help="No price, whatever it was before.")]
_PublisherShare = Annotated[
    str | None, typer.Option(help="Your part of that price, e.g. 80%.  [what the host gives]")
]
_TextReaders = Annotated[
    TextReadersChoice | None,
    typer.Option(help="May who sends the text use the kept KV?  [discount]", show_default=False),
]
_Licence = Annotated[str | None, typer.Option(help="What readers may do with answers.")]
_Prefix = Annotated[str, typer.Option(help="Before every id of many, e.g. docs/.")]
_Include = Annotated[list[str] | None, typer.Option(help="Of a folder: only names that match, e.g. '*.md'.")]
_Parallel = Annotated[int, typer.Option(min=1, max=16, help="Texts that are sent at a time.")]
_MaxSize = Annotated[str, typer.Option(help="The most bytes of one text.")]
_Follow = Annotated[bool, typer.Option("--follow", help="Follow a URL's redirects to other hosts.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be published.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Of many: the results as JSON.")]


@publishing.command()
def publish(
    sources: _SourceNames,
    document: _DocumentId = None,
    url: Url = HERE,
    api_key: Key = None,
    private: _Private = False,
    public: _Public = False,
    granted: _Granted = False,
    ttl: _Ttl = None,
    pin: _Pin = None,
    per_1000: _Per1000 = None,
    share: _Share = None,
    free: _Free = False,
    publisher_share: _PublisherShare = None,
    text_readers: _TextReaders = None,
    licence: _Licence = None,
    prefix: _Prefix = "",
    include: _Include = None,
    parallel: _Parallel = 2,
    max_size: _MaxSize = "8MiB",
    follow: _Follow = False,
    dry_run: _DryRun = False,
    as_json: _AsJson = False,
) -> None:
    """Publish a document and prefill it once; or many: what is published already is not sent again.

    Of many, status 1 means that some failed; the same command goes on where a run was cut short.
    """
    visibility = _visibility(private=private, public=public, granted=granted)
    price = _price(per_1000, share, publisher_share, text_readers, free=free)
    chosen = _fields(visibility, price, pinned=pin, licence=licence, ttl_s=ttl)
    if document is None:
        if "-" in sources:
            raise typer.BadParameter("a text from stdin needs --id")
        from kvproxy.cli.bulk.bulk_report import publish_many

        options = BulkOptions(chosen, read_size(max_size), parallel, dry_run)
        planned = plan_sources(sources, include=include or (), prefix=prefix)
        raise typer.Exit(publish_many(planned, options, url, api_key, follow=follow, as_json=as_json))
    if len(sources) > 1 or dry_run or prefix or include:
        raise typer.BadParameter(
            "--id names one text; leave it out for a folder, a pattern or several sources"
        )
    _publish_one(sources[0], document, chosen, url, api_key, read_size(max_size), follow=follow)


def _publish_one(
    source: str,
    document: str,
    chosen: dict[str, Any],
    url: str,
    api_key: str | None,
    most_bytes: int,
    *,
    follow: bool,
) -> None:
    from kvproxy.client import Client
    from kvproxy.terminal.progress import Progress

    if is_url(source):
        from kvproxy.cli.bulk.fetch_text import fetch_text

        text = fetch_text(source, most_bytes=most_bytes, follow=follow)
    else:
        text = read_text(source)
    with Client(url, api_key) as client, Progress(f"publish {document}") as progress:
        result = client.publish(document, text, **chosen, progress=progress)
    typer.echo(_line(result))


def _fields(visibility: str | None, price: dict[str, str] | None, **more: Any) -> dict[str, Any]:
    """Return the fields of a publish, as `Client.publish` takes them."""
    if more["licence"] is not None and price is None:
        raise typer.BadParameter("--licence goes with a price, which may be --free")
    return {"visibility": visibility, "price": price, **more}


def _visibility(*, private: bool, public: bool, granted: bool) -> str | None:
    chosen = [name for name, on in (("private", private), ("public", public), ("granted", granted)) if on]
    if len(chosen) > 1:
        raise typer.BadParameter(f"{' and '.join(f'--{name}' for name in chosen)} exclude each other")
    return chosen[0] if chosen else None


def _price(
    per_1000: str | None,
    share: str | None,
    publisher_share: str | None,
    text_readers: str | None,
    *,
    free: bool,
) -> dict[str, str] | None:
    """Return the price as the API takes it; None where no option names one."""
    kinds = {"fixed": per_1000 is not None, "share": share is not None, "free": free}
    named = [kind for kind, on in kinds.items() if on]
    if len(named) > 1:
        raise typer.BadParameter("--price-per-1000, --price-share and --free exclude each other")
    fields = {
        "per_1000": per_1000,
        "share": share,
        "publisher_share": publisher_share,
        "text_readers": text_readers,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    if not named:
        if given:
            raise typer.BadParameter("name a price: --price-per-1000, --price-share or --free")
        return None
    return {"kind": named[0], **given}


def _line(result: dict[str, Any]) -> str:
    info = result["info"]
    done = f"in {result['prefill_s']:.1f} s" if result["created"] else "already published"
    if result["created"] and result.get("reused_tokens"):
        done += f" ({result['computed_tokens']:,} computed, {result['reused_tokens']:,} there already)"
    how = f"{info['visibility']}, pinned" if info.get("pinned") else info["visibility"]
    names = [s["name"] for s in info.get("spellings", ())]
    spelled = f", {len(names)} spellings ({', '.join(names)})" if len(names) > 1 else ""
    return f"{info['id']}@{info['version']}: {info['tokens']:,} tokens{spelled}, {how}, {done}"
