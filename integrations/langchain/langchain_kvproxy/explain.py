"""`explain_prompt`: reports the causes that will break a prompt's prefix, and the state of its documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_core.messages import BaseMessage, convert_to_openai_messages
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_kvproxy import _checks
from langchain_kvproxy._client import DocumentUnknown, KVProxyClient, KVProxyError
from langchain_kvproxy._comparison import Comparison, Messages, comparisons, judged, without_metadata
from langchain_kvproxy._document_recognition import (
    DocumentReport,
    document_pieces,
    recognised,
    unchecked,
    wanted,
)
from langchain_kvproxy._finding import Finding, count
from langchain_kvproxy._prompt_parts import PromptLike, PromptPart, as_messages, prompt_parts
from langchain_kvproxy._remembered import first_difference

ToolLike: TypeAlias = BaseTool | type | Callable[..., Any] | Mapping[str, Any]

_LEVELS = ("error", "warning", "note")


@dataclass(frozen=True)
class Explanation:
    """The result of `explain_prompt`: `print` it, or look at its values."""

    findings: tuple[Finding, ...]
    """Errors first, then warnings, then notes."""
    documents: tuple[DocumentReport, ...]
    """The documents of the prompt, in its order."""
    messages: tuple[BaseMessage, ...]
    tools: tuple[Mapping[str, Any], ...] | None = None
    """In OpenAI's format; None where none were given."""

    @property
    def ok(self) -> bool:
        """Whether nothing breaks the prefix: there are notes at most."""
        return all(finding.level == "note" for finding in self.findings)

    def __str__(self) -> str:
        counts = {level: sum(f.level == level for f in self.findings) for level in _LEVELS}
        said = [count(n, level) for level, n in counts.items() if n] or ["nothing to improve"]
        lines = [f"{', '.join(said)}; {count(len(self.documents), 'document')}"]
        lines += [f"  {document}" for document in self.documents]
        lines += [f"  {line}" for finding in self.findings for line in str(finding).splitlines()]
        return "\n".join(lines)


def explain_prompt(
    messages: PromptLike,
    *,
    tools: Sequence[ToolLike] | None = None,
    client: KVProxyClient | None = None,
    previous: Explanation | PromptLike | None = None,
    remembered: bool = False,
) -> Explanation:
    """Report the causes that will break a prompt's prefix, and the state of its documents in the proxy.

    No model is called. Without a client no request is made at all, and the documents are guessed:
    references, texts that end in a cache mark or stand before one that does, and long texts.

    Args:
        messages: Messages, a prompt's value, or any other input of a chat model.
        tools: The tools that go with them.
        client: The proxy to look the documents up in; one that cannot be reached is a finding.
        previous: The prompt before, to find the first difference from it; an earlier `Explanation` to
            have the tools compared as well.
        remembered: Whether to ask the proxy as well for the first difference from the nearest document, or from the
            nearest request that it remembers of this API key's tenant, with the cause.

    Returns:
        Findings and documents; `str()` makes a report of them.

    Offline:
        ```python
        from langchain_core.messages import HumanMessage, SystemMessage

        from langchain_kvproxy import explain_prompt

        handbook = {"type": "kv_document", "document": "handbook"}
        now = {"type": "text", "text": "It is 2026-11-22 09:30."}
        explanation = explain_prompt([SystemMessage([now, handbook]), HumanMessage("How many days?")])
        print(explanation)
        assert [finding.code for finding in explanation.findings] == ["text-first", "timestamp"]
        ```

    With a proxy's documents:
        ```python
        from langchain_kvproxy import KVProxyClient, explain_prompt, place_documents

        with KVProxyClient() as client:
            client.publish("handbook", "Employees have thirty days of leave a year")
            explanation = explain_prompt(place_documents([], ["handbook"]), client=client)
        assert explanation.ok
        assert explanation.documents[0].status == "current"
        ```
    """
    prompt = _Prompt(messages, tools)
    if client is None:
        return prompt.explained(unchecked(prompt.pieces), previous)
    try:
        listing = client.documents()
        texts: dict[str, str] = {}
        for ref in wanted(prompt.pieces, listing):
            try:
                texts[ref] = client.document(ref, text=True)["text"]
            except DocumentUnknown:
                continue  # deleted since it was listed
    except KVProxyError as e:
        return prompt.explained(unchecked(prompt.pieces), previous, [_unasked(e)])
    reports = recognised(prompt.pieces, listing, texts)
    tokens: list[Sequence[int]] = []
    with suppress(KVProxyError):  # the proxy tokenises for its own model alone
        for messages_ in prompt.to_tokenize(reports):
            tokens.append(client.tokenize_messages(messages_, prompt.tools))
    return prompt.judged(reports, tokens, previous, _told(client, prompt) if remembered else [])


async def aexplain_prompt(
    messages: PromptLike,
    *,
    tools: Sequence[ToolLike] | None = None,
    client: KVProxyClient | None = None,
    previous: Explanation | PromptLike | None = None,
    remembered: bool = False,
) -> Explanation:
    """Do the same as `explain_prompt`, without blocking the event loop during requests.

    Example:
        ```python
        from langchain_kvproxy import KVProxyClient, aexplain_prompt, place_documents

        with KVProxyClient() as client:
            print(await aexplain_prompt(place_documents([], ["handbook"]), client=client))
        ```
    """
    if client is None:
        return explain_prompt(messages, tools=tools, previous=previous)
    prompt = _Prompt(messages, tools)
    try:
        listing = await client.adocuments()
        texts: dict[str, str] = {}
        for ref in wanted(prompt.pieces, listing):
            try:
                texts[ref] = (await client.adocument(ref, text=True))["text"]
            except DocumentUnknown:
                continue  # deleted since it was listed
    except KVProxyError as e:
        return prompt.explained(unchecked(prompt.pieces), previous, [_unasked(e)])
    reports = recognised(prompt.pieces, listing, texts)
    tokens: list[Sequence[int]] = []
    with suppress(KVProxyError):
        for messages_ in prompt.to_tokenize(reports):
            tokens.append(await client.atokenize_messages(messages_, prompt.tools))
    told = await _atold(client, prompt) if remembered else []
    return prompt.judged(reports, tokens, previous, told)


class _Prompt:
    """A prompt as messages, tools and parts, with the steps of its explanation."""

    def __init__(self, messages: PromptLike, tools: Sequence[ToolLike] | None) -> None:
        self.messages = as_messages(messages)
        self.tools = None if tools is None else tuple(convert_to_openai_tool(_plain(tool)) for tool in tools)
        self.pieces = prompt_parts(self.messages)

    @property
    def as_sent(self) -> Messages:
        """The messages as `ChatKVProxy` sends them, in OpenAI's format."""
        return [dict(message) for message in convert_to_openai_messages(self.messages)]

    def to_tokenize(self, reports: Sequence[DocumentReport]) -> list[Messages]:
        """List the prompts to tokenise, two for each comparison."""
        return [prompt for pair in self._comparisons(reports) for prompt in (pair.sent, pair.other)]

    def judged(
        self,
        reports: Sequence[DocumentReport],
        tokens: Sequence[Sequence[int]],
        previous: Explanation | PromptLike | None,
        told: Sequence[Finding] = (),
    ) -> Explanation:
        """Explain the prompt after tokenisation.

        ``tokens``: those of the prompts of ``to_tokenize``, fewer where the proxy has refused one. ``told``: the
        proxy's own findings.

        Example:
            `prompt.judged(reports, [client.tokenize_messages(m) for m in prompt.to_tokenize(reports)], None)`
        """
        answered = list(zip(self._comparisons(reports), tokens[::2], tokens[1::2], strict=False))
        spelled = len(comparisons(self.messages, reports))
        kept_out = any(sent == other for _, sent, other in answered[spelled:])
        return self.explained(judged(reports, answered[:spelled]), previous, told, kept_out=kept_out)

    def _comparisons(self, reports: Sequence[DocumentReport]) -> list[Comparison]:
        return [*comparisons(self.messages, reports), *without_metadata(self.messages)]

    def explained(
        self,
        reports: Sequence[DocumentReport],
        previous: Explanation | PromptLike | None,
        first: Sequence[Finding] = (),
        *,
        kept_out: bool = False,
    ) -> Explanation:
        """Run all checks. ``kept_out``: whether the proxy keeps a client's header out of the prompt.

        Example:
            `prompt.explained(unchecked(prompt.pieces), None)`
        """
        documents = document_pieces(self.pieces, reports)
        found = [*first, *_checks.position(self.pieces, documents, tools=bool(self.tools))]
        moving = _checks.moving_parts(self.pieces, documents, reports)
        found += [finding for finding in moving if not (kept_out and finding.code == "client-metadata")]
        found += _checks.publication(reports, documents)
        if previous is not None:
            found += self._beside(previous, documents)
        places = {piece.place for piece in documents}
        return Explanation(
            tuple(sorted(found, key=lambda finding: _LEVELS.index(finding.level))),
            tuple(report for report in reports if report.place in places),
            tuple(self.messages),
            self.tools,
        )

    def _beside(self, previous: Explanation | PromptLike, documents: Sequence[PromptPart]) -> list[Finding]:
        before = previous.messages if isinstance(previous, Explanation) else as_messages(previous)
        found = list(_checks.diverged(self.pieces, prompt_parts(before), documents))
        if isinstance(previous, Explanation) and self.tools is not None and previous.tools is not None:
            found += _checks.tools_changed(self.tools, previous.tools, documents)
        return found


def _told(client: KVProxyClient, prompt: _Prompt) -> list[Finding]:
    try:
        return first_difference(client.explain(prompt.as_sent, prompt.tools))
    except KVProxyError as e:
        return [_uncompared(e)]


async def _atold(client: KVProxyClient, prompt: _Prompt) -> list[Finding]:
    try:
        return first_difference(await client.aexplain(prompt.as_sent, prompt.tools))
    except KVProxyError as e:
        return [_uncompared(e)]


def _uncompared(error: KVProxyError) -> Finding:
    return Finding("note", "proxy", None, f"the proxy did not compare it with earlier requests: {error}", "")


def _plain(tool: ToolLike) -> Any:
    return dict(tool) if isinstance(tool, Mapping) else tool


def _unasked(error: KVProxyError) -> Finding:
    return Finding("warning", "proxy", None, f"the proxy could not be asked about documents: {error}", "")
