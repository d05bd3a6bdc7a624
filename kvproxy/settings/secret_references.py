"""`SecretReference`: ``${NAME}``, ``${file:PATH}`` and ``${credential:NAME}`` in a settings file, and their values."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MOST_BYTES = 64 * 1024
"""Of a secret's file: whatever is larger is another file that was named by mistake."""

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""The variable in which systemd names the folder of ``LoadCredential=``."""

_REFERENCE = re.compile(r"\$\{(?:(?P<name>\w+)|(?P<source>[a-z]+):(?P<argument>[^{}\n]*))\}")
_SOURCES = ("file", "credential")


class UnknownSecret(ValueError):
    """A reference that has no value; the message names the reference and the remedy, and quotes no secret."""


@dataclass(frozen=True, slots=True)
class SecretReference:
    """One reference of a settings file.

    Example:
        ``SecretReference("${file:/run/secrets/alice}", "file", "/run/secrets/alice").value()``
    """

    text: str
    """As the settings file has it."""
    source: str
    """``environment``, ``file``, ``credential``, or an unknown word."""
    argument: str
    """The variable's name, the file's path, or the credential's name."""

    def value(self, environ: Mapping[str, str] = os.environ) -> str:
        """Return the value: of a file without one line end at its end. Raises UnknownSecret."""
        if self.source == "environment":
            if self.argument not in environ:
                raise UnknownSecret(f"{self.text}, which is not set in the environment; set it")
            return environ[self.argument]
        path = self.path(environ)
        if path is None:
            raise UnknownSecret(self._without_file(environ))
        return _read(self.text, path)

    def path(self, environ: Mapping[str, str] = os.environ) -> Path | None:
        """Return the file that holds the value; None for a variable, and where the reference can name no file."""
        if self.source == "file":
            return Path(self.argument) if self.argument.strip() else None
        folder = environ.get(CREDENTIALS)
        named = self.argument not in ("", ".", "..") and "/" not in self.argument
        if self.source != "credential" or not folder or not named:
            return None
        return Path(folder) / self.argument

    def _without_file(self, environ: Mapping[str, str]) -> str:
        if self.source not in _SOURCES:
            return f"{self.text}; known are ${{NAME}}, ${{file:/path}} and ${{credential:name}}"
        if self.source == "credential" and not environ.get(CREDENTIALS):
            return (
                f"{self.text}, and {CREDENTIALS} is not set: systemd sets it for a unit with LoadCredential="
            )
        return f"{self.text}, which names no {self.source}"


def find_references(text: str) -> list[tuple[int, int, SecretReference]]:
    """Return each reference of ``text`` with where it begins and ends, in order.

    Example: ``find_references("key: ${ALICE}")[0][2].argument`` is ``"ALICE"``
    """
    return [
        (match.start(), match.end(), SecretReference(match[0], "environment", match["name"]))
        if match["name"]
        else (match.start(), match.end(), SecretReference(match[0], match["source"], match["argument"]))
        for match in _REFERENCE.finditer(text)
    ]


def _read(reference: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as e:
        raise UnknownSecret(f"{reference}, which cannot be read: {e.strerror}") from e
    if len(data) > MOST_BYTES:
        raise UnknownSecret(
            f"{reference}, which has more than {MOST_BYTES // 1024} KiB; it is no secret's file"
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        # Without the cause: its message quotes a byte.
        raise UnknownSecret(f"{reference}, which is not UTF-8 text; a binary key goes in as base64") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise UnknownSecret(f"{reference}, which is empty")
    return text
