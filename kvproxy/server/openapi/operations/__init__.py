"""All operations, in the order of their routes: a path stands before the patterns that match it too."""

from __future__ import annotations

from kvproxy.server.openapi.operation import Operation
from kvproxy.server.openapi.operations.account_operations import ACCOUNTS
from kvproxy.server.openapi.operations.anthropic_operations import ANTHROPIC
from kvproxy.server.openapi.operations.catalog_operations import CATALOG
from kvproxy.server.openapi.operations.document_file_operations import DOCUMENT_FILES
from kvproxy.server.openapi.operations.document_operations import DOCUMENTS
from kvproxy.server.openapi.operations.explain_operations import EXPLAIN
from kvproxy.server.openapi.operations.figure_operations import FIGURES
from kvproxy.server.openapi.operations.grant_operations import GRANTS
from kvproxy.server.openapi.operations.learned_operations import LEARNED_OPERATIONS
from kvproxy.server.openapi.operations.ledger_operations import LEDGER
from kvproxy.server.openapi.operations.openai_operations import OPENAI
from kvproxy.server.openapi.operations.payment_operations import PAYMENTS
from kvproxy.server.openapi.operations.receipt_operations import RECEIPTS
from kvproxy.server.openapi.operations.residency_operations import RESIDENCY
from kvproxy.server.openapi.operations.response_operations import RESPONSES
from kvproxy.server.openapi.operations.service_operations import SERVICE
from kvproxy.server.openapi.operations.token_operations import TOKENS
from kvproxy.server.openapi.operations.upkeep_operations import UPKEEP
from kvproxy.server.openapi.operations.version_operations import VERSIONS

OPERATIONS: tuple[Operation, ...] = (
    *OPENAI,
    *RESPONSES,
    *ANTHROPIC,
    *TOKENS,
    *RESIDENCY,
    *VERSIONS,
    *LEARNED_OPERATIONS,
    *DOCUMENT_FILES,
    *DOCUMENTS,
    *GRANTS,
    *ACCOUNTS,
    *CATALOG,
    *RECEIPTS,
    *LEDGER,
    *PAYMENTS,
    *EXPLAIN,
    *UPKEEP,
    *FIGURES,
    *SERVICE,
)
