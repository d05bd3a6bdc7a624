"""schemathesis against a running proxy: ``fuzz.py URL KEY MODEL ARGUMENTS…``, the arguments for ``st run``.

Its config is beside this file. Runs in the clients' environment.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.cli import schemathesis as cli

URL, KEY, MODEL, *ARGUMENTS = sys.argv[1:]


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """The model is one that is served. ``default`` goes: beside it every status would be a documented one, and
    the fake upstream never fails."""
    for schema in raw_schema["components"]["schemas"].values():
        model = schema.get("properties", {}).get("model", {})
        if "minLength" in model:
            model["const"] = MODEL
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("default", None)


config = Path(__file__).with_name("schemathesis.toml")
key = ["--header", f"Authorization: Bearer {KEY}"]
cli(["--config-file", str(config), "run", f"{URL}/openapi.json", *key, "--no-color", *ARGUMENTS])
