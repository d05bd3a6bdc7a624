"""Prints what a proxy with fleets alone needs of a wheel's requirements: ``python fleet_requirements.py FOLDER``.

The engine's libraries are left out, which such a proxy never imports and which are most of an installation's size.
"""

from __future__ import annotations

import re
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

ENGINE = {"gguf", "safetensors", "torch", "transformers"}
EXTRAS = {"fleet", "objects", "otel", "postgres", "x402"}

_REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?P<rest>[^;]*?)\s*(?:;\s*(?P<marker>.*))?$")
_EXTRA = re.compile(r"^extra == ['\"](?P<extra>[\w-]+)['\"]$")


def requirements(metadata: str) -> list[str]:
    """Return the requirements, without markers, of a wheel's METADATA. Raises ValueError for a marker of another kind.

    Example: ``requirements("Requires-Dist: torch>=2\\nRequires-Dist: pyzmq; extra == 'fleet'")`` is ``["pyzmq"]``
    """
    found = []
    for line in Parser().parsestr(metadata).get_all("Requires-Dist", []):
        parts = _REQUIREMENT.match(line)
        extra = _EXTRA.match(parts["marker"]) if parts and parts["marker"] else None
        if parts is None or (parts["marker"] and extra is None):
            raise ValueError(f"'{line}' is a requirement of a kind that is not known here")
        if parts["name"] not in ENGINE and (extra is None or extra["extra"] in EXTRAS):
            found.append(f"{parts['name']}{parts['rest']}")
    return found


def main() -> int:
    """Return the exit status: 0 once they are printed."""
    [wheel] = Path(sys.argv[1]).glob("kvproxy-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        [name] = [one for one in packed.namelist() if one.endswith(".dist-info/METADATA")]
        print("\n".join(requirements(packed.read(name).decode("utf-8"))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
