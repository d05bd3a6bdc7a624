"""Tables by subject; each registers in ``METADATA``, and importing this package registers all."""

from kvproxy.database.tables import (
    account_tables,
    catalog_tables,
    document_tables,
    ledger_tables,
    payment_tables,
    receipt_tables,
    response_tables,
    tariff_tables,
    usage_tables,
)

__all__ = [
    "account_tables",
    "catalog_tables",
    "document_tables",
    "ledger_tables",
    "payment_tables",
    "receipt_tables",
    "response_tables",
    "tariff_tables",
    "usage_tables",
]
