"""``kvproxy tenants``: make, list, limit and close tenants, directly in the database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from kvproxy.cli.account_database import configured_accounts, read_budget
from kvproxy.cli.keys_commands import Amount, AsJson, Requests, Tokens
from kvproxy.cli.options import ConfigFile, StoreFolder, read_amount
from kvproxy.errors import SetupError

if TYPE_CHECKING:
    from kvproxy.accounts.account_values import CreditLimit
    from kvproxy.core.document_quota import DocumentQuota

tenants = typer.Typer(
    help="Make, list and limit tenants, on the server's machine, also while it runs.", no_args_is_help=True
)

CreditText = Annotated[
    str | None,
    typer.Option(
        "--credit", help="How far its balance may go below zero: an amount such as 5.00, or unlimited."
    ),
]
Name = Annotated[str, typer.Argument(help="The tenant's name.")]


@tenants.command("create")
def tenants_create(
    name: Name, credit: CreditText = None, config: ConfigFile = None, store: StoreFolder = None
) -> None:
    """Make a tenant; `kvproxy keys create` makes one too."""
    with configured_accounts(config, store) as (_, accounts):
        accounts.create_tenant(name, _read_credit(credit))
    typer.echo(f"made tenant {name}")


@tenants.command("list")
def tenants_list(config: ConfigFile = None, store: StoreFolder = None, as_json: AsJson = False) -> None:
    """List the tenants, those of the configuration's keys too."""
    from kvproxy.accounts.account_values import tenant_subject
    from kvproxy.terminal.account_listing import print_tenants
    from kvproxy.wire.kv_accounts.account_views import kv_tenant

    with configured_accounts(config, store) as (settings, accounts):
        currency = settings.billing.currency
        views = [kv_tenant(t, accounts.budgets(tenant_subject(t.id)), currency) for t in accounts.tenants()]
    if as_json:
        typer.echo(json.dumps(views, indent=2, ensure_ascii=False))
    else:
        print_tenants(views)


@tenants.command("limit")
def tenants_limit(
    name: Name,
    period: Annotated[str | None, typer.Option(help="minute, day or month, in UTC.")] = None,
    tokens: Tokens = None,
    amount: Amount = None,
    requests: Requests = None,
    credit: CreditText = None,
    quota: Annotated[
        str | None,
        typer.Option(
            help="What it may have published: versions=100,bytes=10GiB,tokens=1000000; none; or default, for the "
            "configured one."
        ),
    ] = None,
    closed: Annotated[
        bool | None, typer.Option("--close/--reopen", help="Refuse all its keys, or accept them again.")
    ] = None,
    config: ConfigFile = None,
    store: StoreFolder = None,
) -> None:
    """Set a tenant's budget for a period (without any limit it is removed), its credit, its quota, or close it."""
    from kvproxy.accounts.account_values import tenant_subject

    limits = (tokens, read_amount(amount), requests)
    if period is None and limits != (None, None, None):
        raise SetupError("say for which --period the limit is: minute, day or month")
    if all(given is None for given in (period, credit, closed, quota)):
        raise SetupError("nothing to set: give a --period, --credit, --quota, --close or --reopen")
    budget = None if period is None else read_budget(tenant_subject(name), period, limits)
    wanted = _read_credit(credit)
    with configured_accounts(config, store) as (_, accounts):
        accounts.tenant(name)
        if budget is not None:
            accounts.set_budget(budget)
        if wanted is not None:
            accounts.set_credit(name, wanted)
        if quota is not None:
            accounts.set_quota(name, _read_quota(quota))
        if closed is not None:
            accounts.close_tenant(name, closed=closed)
    typer.echo(f"changed tenant {name}")


def _read_credit(text: str | None) -> CreditLimit | None:
    from kvproxy.accounts.account_values import CreditLimit

    if text is None:
        return None
    return CreditLimit(None if text == "unlimited" else read_amount(text))


def _read_quota(text: str) -> DocumentQuota | None:
    """Return the quota that a person wrote; None for the configured one. Raises SetupError."""
    from kvproxy.core.document_quota import NO_QUOTA, DocumentQuota
    from kvproxy.settings.byte_size import parse_bytes

    if text == "default":
        return None
    if text == "none":
        return NO_QUOTA
    limits: dict[str, int] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name not in ("versions", "bytes", "tokens") or (name != "bytes" and not value.isdecimal()):
            raise SetupError(f"'{part[:40]}' is no quota; write versions=100,bytes=10GiB,tokens=1000000")
        try:
            limits[name] = int(str(parse_bytes(value))) if name == "bytes" else int(value)
        except ValueError as e:
            raise SetupError(f"'{part[:40]}' is no quota: {e}") from e
    return DocumentQuota(**limits)
