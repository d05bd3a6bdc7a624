"""Generator of docs/reference/configuration.md: every setting with its type, default and meaning."""

from __future__ import annotations

from itertools import groupby

from deploy.docs.setting_rows import SettingRow, setting_rows
from kvproxy.config import Config

_HEAD = """# Configuration

A YAML file, named by `--config FILE` or by the environment variable `KVPROXY_CONFIG`; without one every setting has
its default. [config.example.yaml](../../config.example.yaml) has all of them with their defaults, to copy from.

- No secret need stand in the file: `${NAME}` is replaced from the environment, `${file:/run/secrets/alice}` by a
  file's text, `${credential:alice}` by a systemd credential. One that is not there is an error.
- Sizes are written as `512MiB`, `4GiB` or plain bytes; amounts of money as text in quotes.
- An unknown name is an error that names the nearest known one. An empty value counts as absent.
- `kvproxy config check --config FILE` reads the file as the server does, and reaches the database.
- Options of `kvproxy serve` (`--model`, `--port`, …) come before the file: see [commands](commands.md#kvproxy-serve).

`[]` stands for each entry of a list. This page is made from the settings themselves by `python -m
deploy.docs.write_pages`.
"""

_ABOUT = {
    "tariff": "Prices: [pricing](../pricing.md).",
    "fallbacks": "Which model answers in another's place.",
    "aliases": "Other names of models.",
    "upstreams": "Other models behind the same address.",
    "fleets": "Models of running replicas: [a fleet](../fleet.md).",
}
"""Of sections that are no class of their own; the others have the first line of their class."""


def configuration_page() -> str:
    """Return the Markdown of docs/reference/configuration.md."""
    sections = groupby(setting_rows(), key=lambda row: row.name.partition(".")[0].removesuffix("[]"))
    return _HEAD + "".join(_section(name, list(rows)) for name, rows in sections)


def _section(name: str, rows: list[SettingRow]) -> str:
    table = "".join(f"| `{row.name}` | {row.kind} | {row.default} | {row.about} |\n" for row in rows)
    return f"\n## {name}\n\n{_about(name)}\n\n| setting | type | default | means |\n| --- | --- | --- | --- |\n{table}"


def _about(name: str) -> str:
    if name in _ABOUT:
        return _ABOUT[name]
    kind = Config.model_fields[name].annotation
    return " ".join(str(kind.__doc__).partition("\n\n")[0].replace("``", "`").split())
