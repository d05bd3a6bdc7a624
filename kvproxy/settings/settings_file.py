"""`read_settings_file`: a YAML file of settings, its references replaced by their values; no value is ever quoted."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kvproxy.settings.secret_references import SecretReference, UnknownSecret, find_references

_OPEN, _CLOSE = "\ue000", "\ue001"
"""Around a reference's number while YAML is parsed: characters of private use, plain text in every place of a file."""
_HELD = re.compile(f"{_OPEN}(\\d+){_CLOSE}")


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The settings of a file by section, and the references among them."""

    data: dict[str, Any] = field(default_factory=dict, repr=False)
    values: Mapping[SecretReference, str] = field(default_factory=dict, repr=False)
    """By reference: its value. Of references in comments there is none."""
    faults: tuple[str, ...] = ()
    """One line for each fault; then ``data`` is not to be used."""

    def masked(self, message: str) -> str:
        """Return ``message`` with every value of four characters or more written as its reference."""
        for reference, value in sorted(self.values.items(), key=lambda item: -len(item[1])):
            if len(value) >= 4:
                message = message.replace(value, reference.text)
        return message


def read_settings_file(path: Path, environ: Mapping[str, str] = os.environ) -> SettingsFile:
    """Read ``path``. A value from the environment stands where it is named as if it had been written there, as one
    scalar; a value from a file is always text. Faults are returned, not raised.

    Example: ``read_settings_file(Path("kvproxy.yaml")).data["server"]``
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as e:
        return SettingsFile(faults=(f"cannot read the configuration {path}: {e.strerror}",))
    except ValueError:
        return SettingsFile(faults=(f"{path} is not valid YAML: it is not UTF-8 text",))
    held = [found for _, _, found in find_references(text)]
    loader = _Loader(_with_places(text), held, environ)
    try:
        data = loader.get_single_data()
    except yaml.MarkedYAMLError as e:
        return SettingsFile(faults=(f"{path} is not valid YAML: {_yaml_fault(e)}",))
    except (yaml.YAMLError, ValueError, RecursionError) as e:  # an impossible number or date
        said = "" if isinstance(e, yaml.YAMLError) else f" ({type(e).__name__})"
        return SettingsFile(faults=(f"{path} is not valid YAML: it has a value that cannot be read{said}",))
    finally:
        loader.dispose()
    if loader.missing:
        return SettingsFile(faults=tuple(f"{path} uses {fault}" for fault in loader.missing))
    if data is not None and not isinstance(data, dict):
        return SettingsFile(faults=(f"{path} must hold settings by section, see config.example.yaml",))
    return SettingsFile(data or {}, loader.values)


def _with_places(text: str) -> str:
    """Return ``text`` with each reference as its number between two marks."""
    parts, end = [], 0
    for number, (begins, ends, _) in enumerate(find_references(text)):
        parts += [text[end:begins], f"{_OPEN}{number}{_CLOSE}"]
        end = ends
    return "".join((*parts, text[end:]))


def _yaml_fault(e: yaml.MarkedYAMLError) -> str:
    """Return the problem with its place; never the line itself, which may hold a key."""
    problem = _HELD.sub("${…}", e.problem or "it cannot be read")
    if e.problem_mark is None:
        return problem
    return f"{problem} (line {e.problem_mark.line + 1}, column {e.problem_mark.column + 1})"


class _Loader(yaml.SafeLoader):
    """Puts values into scalars after the structure is known, so that no value can change it."""

    def __init__(self, text: str, held: list[SecretReference], environ: Mapping[str, str]) -> None:
        super().__init__(text)
        self._held = held
        self._environ = environ
        self.values: dict[SecretReference, str] = {}
        self.missing: list[str] = []

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's types leave its composer out
        used = [self._held[int(n)] for n in _HELD.findall(event.value) if int(n) < len(self._held)]
        if used:
            event.value = _HELD.sub(self._put, event.value)
            if any(one.source != "environment" for one in used):
                event.implicit = (False, True)
        return super().compose_scalar_node(anchor)

    def _put(self, match: re.Match[str]) -> str:
        if int(match[1]) >= len(self._held):
            return match[0]
        reference = self._held[int(match[1])]
        if reference not in self.values:
            try:
                self.values[reference] = reference.value(self._environ)
            except UnknownSecret as e:
                self.missing.append(str(e))
                self.values[reference] = ""
        return self.values[reference]
