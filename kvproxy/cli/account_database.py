"""The database of accounts as commands open it: on the server's machine, also while the server runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kvproxy.cli.options import read_config
from kvproxy.errors import SetupError

if TYPE_CHECKING:
    from kvproxy.accounts.account_values import Budget
    from kvproxy.accounts.accounts import Accounts
    from kvproxy.config import Config


@contextmanager
def configured_accounts(config: Path | None, store: Path | None) -> Iterator[tuple[Config, Accounts]]:
    """Open the accounts of a configuration, with the configuration's own tenants; makes what is not there yet.

    Raises SetupError. A running server sees within seconds what is changed.

    Example:
        ``with configured_accounts(config, store) as (settings, accounts): accounts.keys()``
    """
    from kvproxy.accounts.accounts import Accounts
    from kvproxy.accounts.key_hash import open_secret
    from kvproxy.accounts.open_accounts import static_tenants
    from kvproxy.database.database import Database
    from kvproxy.database.migrate import migrate

    settings = read_config(config, store__path=store)
    secret = open_secret(settings.store.path)
    with Database.open(settings.database.address, settings.store.path) as database:
        migrate(database)
        accounts = Accounts(database, secret, default_credit_nano=settings.billing.credit_nano)
        accounts.adopt(static_tenants((key.name, key.key) for key in settings.server.api_keys))
        yield settings, accounts


def read_budget(subject: str, period: str, limits: tuple[int | None, int | None, int | None]) -> Budget:
    """Return a budget of (tokens, nano-units, requests). Raises SetupError for an unknown period.

    Example:
        ``read_budget("tenant:alice", "day", (1_000_000, None, None))``
    """
    from kvproxy.accounts.account_values import PERIODS, Budget

    found = next((known for known in PERIODS if known == period), None)
    if found is None:
        raise SetupError(f"'{period[:40]}' is no period; write {', '.join(PERIODS)}")
    return Budget(subject, found, *limits)
