"""The tool that asks the proxy's model about published documents."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations
from pydantic import Field

from kvproxy.mcp_server.reading_order import canonical, with_documents
from kvproxy.mcp_server.remote import ChatProgress, Remote
from kvproxy.mcp_server.tool_arguments import Instructions, ModelName, References
from kvproxy.mcp_server.tool_errors import as_tool_error
from kvproxy.mcp_server.tool_results import ToolAnswer

_ASKS = ToolAnnotations(read_only_hint=True)  # the model may be another provider's


def add_asking_tools(server: MCPServer[Any], remote: Remote) -> None:
    """Add the tool that asks the proxy's model about published documents."""

    @server.tool(title="Ask about documents", annotations=_ASKS)
    async def ask(
        ctx: Context[Any, Any],
        question: Annotated[str, Field(min_length=1)],
        documents: References,
        instructions: Instructions = None,
        model: ModelName = None,
        max_tokens: Annotated[int, Field(ge=1, description="The answer's length at most.")] = 1024,
    ) -> ToolAnswer:
        """Ask a model a question about published documents. Their texts are not sent: they are read from kept KV, so
        that only the question costs a prefill. Tells how many tokens of the prompt were cached, and the time to the
        first token."""
        with as_tool_error():
            model = model or await remote.local_model()
            body = {
                "model": model,
                "messages": with_documents(question, documents, instructions),
                "max_tokens": max_tokens,
            }
            answer = await remote.chat(body, waiting(ctx))
        return ToolAnswer(
            answer=answer.text,
            finish_reason=answer.finish_reason,
            model=model,
            documents=canonical(documents),
            prompt_tokens=answer.prompt_tokens,
            cached_tokens=answer.cached_tokens,
            completion_tokens=answer.completion_tokens,
            ttft_s=answer.ttft_s,
            outcome=answer.cache.outcome,
            reason=answer.cache.reason,
        )


def waiting(ctx: Context[Any, Any]) -> ChatProgress:
    """Progress of unknown length: it grows with each sign of life, so that a client's timeout starts anew."""
    signs = 0

    async def report(pieces: int) -> None:
        nonlocal signs
        signs += 1
        await ctx.report_progress(
            signs, None, f"{pieces:,} pieces of the answer" if pieces else "waiting for the first token"
        )

    return report
