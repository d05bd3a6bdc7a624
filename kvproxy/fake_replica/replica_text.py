"""`ReplicaText`: texts to tokens and back, by a model's tokenizer and template, or by bytes alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from kvproxy.backends.fake.json_examples import example_of
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import UnsupportedSchema
from kvproxy.fake_replica.grammar_answers import GrammarAnswers
from kvproxy.fake_replica.vllm_errors import VllmError, bad_request


class ReplicaText(Protocol):
    """A tokenizer, as far as a fake replica needs one."""

    @property
    def end_token(self) -> int | None:
        """The token that ends an answer."""

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Return the tokens of ``text``, in which control tokens' texts are control tokens.

        ``special`` puts the tokenizer's first tokens in front. Example: ``text.encode("Hello", special=False)``
        """

    def decode(self, token_ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Return the text; an incomplete character at the end comes out as U+FFFD."""

    def chat(self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> list[int]:
        """Return the tokens of a conversation. ``variables``: the template's, ``tools`` among them."""

    def structured(self, wanted: Mapping[str, Any]) -> list[int]:
        """Return the tokens of a small answer to ``structured_outputs``. Raises VllmError."""


class BytesText:
    """A tokenizer whose tokens are bytes, with a plain template; token 256 ends an answer."""

    end_token: int | None = 256

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Return the bytes of ``text``. ``special``: without effect."""
        return list(text.encode("utf-8"))

    def decode(self, token_ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Return the text of those tokens that are bytes."""
        return bytes(token for token in token_ids if token < 256).decode("utf-8", "replace")

    def chat(self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> list[int]:
        """Return the tokens of lines ``role: content``. ``variables``: without effect."""
        lines = [f"{message.get('role')}: {message.get('content') or ''}\n" for message in messages]
        return self.encode("".join(lines) + "assistant: ")

    def structured(self, wanted: Mapping[str, Any]) -> list[int]:
        """Return an example for the common keywords of a JSON schema, or the first choice. Raises VllmError."""
        return self.encode(_example(wanted))


class ModelText:
    """A model's own tokenizer and chat template, of its folder."""

    def __init__(
        self, tokenizer: Tokenizer, template: ChatTemplate | None, folder: Path | None = None
    ) -> None:
        """Take what is loaded. ``folder``: where tokenizer.json lies, needed for grammars.

        Example: ``ModelText(Tokenizer.load(folder), ChatTemplate.load(folder), folder)``
        """
        self._tokenizer = tokenizer
        self._template = template
        self._folder = folder
        self._grammars: GrammarAnswers | None = None
        named = tokenizer.control.get(tokenizer.special_tokens.get("eos_token", ""))
        self.end_token: int | None = min(tokenizer.eos_ids, default=None) if named is None else named

    @classmethod
    def load(cls, folder: Path) -> ModelText:
        """Read tokenizer and template of a folder. Raises SetupError."""
        return cls(Tokenizer.load(folder), ChatTemplate.load(folder), folder)

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Return the tokens of ``text``, as ``ReplicaText`` says."""
        tokens = list(self._tokenizer.begin) if special else []
        for piece in self._tokenizer.pieces(text):
            tokens += [piece] if isinstance(piece, int) else self._tokenizer.encode_text(piece)
        return tokens

    def decode(self, token_ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Return the text, as ``ReplicaText`` says."""
        return self._tokenizer.decode(token_ids, skip_special=skip_special)

    def chat(self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> list[int]:
        """Render the conversation and encode it. Raises InvalidRequest where the template refuses."""
        if self._template is None:
            return BytesText().chat(messages, variables)
        tools = variables.get("tools") or ()
        named = {**self._tokenizer.special_tokens, **variables}
        return self.encode(self._template.render(messages, named, tools=tools), special=False)

    def structured(self, wanted: Mapping[str, Any]) -> list[int]:
        """Return a small answer that follows any grammar. Raises VllmError."""
        if self._folder is None:
            return self.encode(_example(wanted), special=False)
        if self._grammars is None:
            self._grammars = GrammarAnswers.load(self._folder, self._tokenizer.eos_ids, self._tokenizer.size)
        return self._grammars.answer(wanted)


def _example(wanted: Mapping[str, Any]) -> str:
    if (schema := wanted.get("json")) is not None:
        try:
            read = json.loads(schema) if isinstance(schema, str) else schema
            return json.dumps(example_of(read), ensure_ascii=False)
        except (UnsupportedSchema, ValueError) as e:
            raise VllmError(bad_request(f"Invalid JSON schema: {e}", "structured_outputs")) from e
    if wanted.get("json_object"):
        return "{}"
    if choices := wanted.get("choice"):
        return str(choices[0])
    problem = "A fake replica without a tokenizer follows json, json_object and choice."
    raise VllmError(bad_request(problem, "structured_outputs"))
