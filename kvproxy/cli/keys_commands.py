"""``kvproxy keys``: make, list, limit, rotate and revoke API keys, directly in the database."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kvproxy.cli.account_database import configured_accounts, read_budget
from kvproxy.cli.options import ConfigFile, StoreFolder, read_amount, read_duration
from kvproxy.errors import AccountNotFound, SetupError

keys = typer.Typer(
    help="Make, list and revoke API keys, on the server's machine, also while it runs.", no_args_is_help=True
)

KeyId = Annotated[str, typer.Argument(help="A key's id, as `kvproxy keys list` shows it.")]
Period = Annotated[str, typer.Option(help="minute, day or month, in UTC.")]
Tokens = Annotated[int | None, typer.Option(min=0, help="Most tokens of prompts and answers.")]
Amount = Annotated[str | None, typer.Option(help="Most money, such as 2.50.")]
Requests = Annotated[int | None, typer.Option(min=0, help="Most requests.")]
AsJson = Annotated[bool, typer.Option("--json")]


@keys.command("create")
def keys_create(
    tenant: Annotated[str, typer.Argument(help="Whose key it is; a tenant that is not there yet is made.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, publish, ledger, metrics or admin; may be repeated.  [all but admin]"),
    ] = None,
    label: Annotated[str | None, typer.Option(help="A note for people.")] = None,
    expires: Annotated[str | None, typer.Option(help="Such as 12h or 30d.  [never]")] = None,
    isolate_by: Annotated[
        str | None, typer.Option(help="prompt_cache_key, for a gateway whose users share the key.")
    ] = None,
    config: ConfigFile = None,
    store: StoreFolder = None,
) -> None:
    """Make an API key and print it: it is shown once, and only a keyed hash of it is kept."""
    from pydantic import ValidationError

    from kvproxy.wire.bodies.validation_errors import invalid
    from kvproxy.wire.kv_accounts.account_bodies import NewKeyBody

    given = {
        "scopes": scope,
        "label": label,
        "expires_in_s": read_duration(expires),
        "isolate_by": isolate_by,
    }
    fields = {"tenant": tenant, **{name: value for name, value in given.items() if value is not None}}
    try:
        order = NewKeyBody.model_validate(fields).order()
    except ValidationError as e:
        raise SetupError(invalid(e).message) from e
    with configured_accounts(config, store) as (_, accounts):
        try:
            accounts.tenant(tenant)
        except AccountNotFound:
            accounts.create_tenant(tenant)
            typer.echo(f"made tenant {tenant}", err=True)
        new = accounts.create_key(order)
    typer.echo(f"key {new.stored.id} of {tenant}: {', '.join(sorted(new.stored.permissions))}", err=True)
    typer.echo(new.text)


@keys.command("list")
def keys_list(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    config: ConfigFile = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """List the keys of the database, revoked and expired ones too; never the keys themselves."""
    from kvproxy.accounts.account_values import key_subject, now_ms
    from kvproxy.terminal.account_listing import print_keys
    from kvproxy.wire.kv_accounts.account_views import kv_key

    with configured_accounts(config, store) as (settings, accounts):
        currency = settings.billing.currency
        views = [kv_key(k, accounts.budgets(key_subject(k.id)), currency) for k in accounts.keys(tenant)]
    if as_json:
        typer.echo(json.dumps(views, indent=2, ensure_ascii=False))
    elif views:
        print_keys(views, now_ms() // 1000)
    else:
        typer.echo("no keys; make one with `kvproxy keys create NAME`")


@keys.command("rotate")
def keys_rotate(
    key: KeyId,
    overlap: Annotated[
        str | None, typer.Option(help="How long the old key stays good, such as 1h.  [it ends now]")
    ] = None,
    config: ConfigFile = None,
    store: StoreFolder = None,
) -> None:
    """Make a key in place of another one, with its scopes, budgets and expiry, and print it."""
    overlap_ms = 1000 * (read_duration(overlap) or 0)
    with configured_accounts(config, store) as (_, accounts):
        new = accounts.rotate_key(key, overlap_ms=overlap_ms)
    typer.echo(f"key {new.stored.id} replaces {key}", err=True)
    typer.echo(new.text)


@keys.command("revoke")
def keys_revoke(key: KeyId, config: ConfigFile = None, store: StoreFolder = None) -> None:
    """Refuse a key from now on; a running server does within seconds."""
    with configured_accounts(config, store) as (_, accounts):
        accounts.revoke_key(key)
    typer.echo(f"revoked {key}")


@keys.command("limit")
def keys_limit(
    key: KeyId,
    period: Period,
    tokens: Tokens = None,
    amount: Amount = None,
    requests: Requests = None,
    config: ConfigFile = None,
    store: StoreFolder = None,
) -> None:
    """Set a key's budget for a period; without any limit it is removed."""
    from kvproxy.accounts.account_values import key_subject

    budget = read_budget(key_subject(key), period, (tokens, read_amount(amount), requests))
    with configured_accounts(config, store) as (_, accounts):
        accounts.set_budget(budget)
    typer.echo(f"{'removed' if budget.empty else 'set'} the budget of {key} for each {period}")
