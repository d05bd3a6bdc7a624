"""`ChatTemplate`: renders the model's chat template byte for byte as transformers' ``apply_chat_template`` does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
from jinja2.nodes import CallBlock
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from kvproxy.documents.tokens.tokenizer import read_json
from kvproxy.errors import InvalidRequest, SetupError

RESERVED = frozenset({"messages", "tools", "documents", "add_generation_prompt"})
"""Variables that a request's ``chat_template_kwargs`` cannot set."""


class ChatTemplate:
    """A compiled chat template; ``render`` is pure unless ``uses_clock``."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.digest = hashlib.sha256(source.encode("utf-8")).hexdigest()
        self.uses_clock = "strftime_now" in source
        """True when prompts change with the date, so that kept pages stop matching."""
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateError as e:
            raise SetupError(f"the model's chat template does not compile: {e}") from e

    @classmethod
    def load(cls, folder: Path) -> ChatTemplate:
        """Read chat_template.jinja, else tokenizer_config.json's: a string, or the ``default`` of a list."""
        try:
            return cls((folder / "chat_template.jinja").read_text(encoding="utf-8"))
        except FileNotFoundError:
            pass
        except (OSError, UnicodeDecodeError) as e:
            raise SetupError(f"the chat template in {folder} cannot be read: {e}") from e
        found = read_json(folder / "tokenizer_config.json").get("chat_template")
        if isinstance(found, list):
            found = {entry["name"]: entry["template"] for entry in found}.get("default")
        if not isinstance(found, str):
            raise SetupError(f"the model in {folder} has no chat template; use an instruction-tuned model")
        return cls(found)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        variables: Mapping[str, Any],
        describe: Callable[[str], str] = str,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """Return the prompt's text, ending where the assistant's answer starts.

        ``tools`` in OpenAI's form; empty means none. ``describe`` makes a template's text readable for an error
        message. Raises InvalidRequest with the template's own message when it refuses the conversation.

        Example:
            ``text = template.render(messages, {"enable_thinking": False}, escape.restore, tools=tools)``
        """
        taken = {name: value for name, value in variables.items() if name not in RESERVED}
        try:
            return self._template.render(
                messages=list(messages),
                tools=list(tools) or None,
                documents=None,
                add_generation_prompt=True,
                **taken,
            )
        except jinja2.TemplateError as e:
            raise InvalidRequest(
                f"The model's chat template refuses these messages: {describe(str(e))}", param="messages"
            ) from e
        except (TypeError, ValueError, AttributeError, KeyError, ArithmeticError, RecursionError) as e:
            # Contents are always strings here, so the cause is one of the request's own variables, or a schema that
            # the template reads.
            kind, param = ("tools", "tools") if tools else ("variables", "chat_template_kwargs")
            raise InvalidRequest(
                f"The model's chat template fails with these {kind}: {describe(str(e))}", param=param
            ) from e


class _Generation(jinja2.ext.Extension):
    """The tag ``{% generation %}``, which marks assistant text for training; rendering passes through it."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it as a plain set

    def parse(self, parser: Parser) -> CallBlock:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        block = CallBlock(self.call_method("_through"), [], [], body)
        block.set_lineno(line)
        return block

    def _through(self, caller: Callable[[], str]) -> str:
        return caller()


class _PlainDict:
    """A ``dict`` without its class attributes, so that a template cannot leave the sandbox through it."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _SafeNamespace(Namespace):
    """A namespace that refuses names with a leading underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # jinja2's own trick, so that namespace(self=1) works
        self, *rest = args
        values = dict(*rest, **kwargs)
        for name in values:
            _public(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _public(name)
        super().__setitem__(name, value)


def _public(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace cannot hold the name {name!r}")


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON without jinja2's HTML escapes of ``tojson``, which models have not seen in training."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals.update(
        raise_exception=_raise_exception,
        strftime_now=_strftime_now,
        dict=_PlainDict(),
        namespace=_SafeNamespace,
    )
    return environment
