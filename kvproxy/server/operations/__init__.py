"""Every operation. A path comes before the patterns that would match it too."""

from __future__ import annotations

from kvproxy.server.operation import Operation
from kvproxy.server.operations.anthropic import ANTHROPIC
from kvproxy.server.operations.documents import DOCUMENTS
from kvproxy.server.operations.openai import OPENAI
from kvproxy.server.operations.responses import RESPONSES
from kvproxy.server.operations.service import SERVICE
from kvproxy.server.operations.tokens import TOKENS

OPERATIONS: tuple[Operation, ...] = (*OPENAI, *RESPONSES, *ANTHROPIC, *TOKENS, *DOCUMENTS, *SERVICE)
