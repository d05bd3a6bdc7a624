"""Document ids made of names, paths and addresses of any kind. Pure."""

from __future__ import annotations

import posixpath
import re
from os import PathLike, fspath
from urllib.parse import unquote

from langchain_kvproxy._digest import text_digest

LONGEST_ID = 128
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}", re.ASCII)
_VERSION = re.compile(r"[1-9][0-9]{0,8}|[a-z][a-z0-9._-]{0,31}", re.ASCII)
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._/-]+", re.ASCII)
_FILE_URL = re.compile(r"file:(?://[^/]*)?(?=/)", re.IGNORECASE)
_DRIVE = re.compile(r"/?[A-Za-z]:/")
_USERINFO = re.compile(r"(?<=://)[^/@]*@")
_HOMES = ("home", "Users", "users")


def is_id(name: str) -> bool:
    """Return whether the proxy takes ``name`` for a document's id: no empty segments, no ``.`` and no ``..``."""
    return bool(_NAME.fullmatch(name)) and not any(s in ("", ".", "..") for s in name.split("/"))


def is_reference(name: str) -> bool:
    """Return whether ``name`` is an id, or an id with ``@`` and a version or an alias."""
    id, at, version = name.partition("@")
    return is_id(id) and (not at or bool(_VERSION.fullmatch(version)))


def id_of_name(name: str, root: str | PathLike[str] | None = None, *, part: str = "") -> str:
    """Turn ``name`` into an id, with ``part`` behind it; a name that is a legal id stays as it is.

    An absolute path is cut to its part below ``root``, else to its last folder and its file's name: the rest names
    the user and the machine, and differs on the next machine.

    Example:
        `id_of_name("/data/docs/a b.md", "/data", part="/page-2")` starts with `docs/a-b.md/page-2`.
    """
    plain = "/".join(_segments(_relative(name, root) + part))
    legal = _NOT_IN_IDS.sub("-", plain).lstrip("._/-")
    legal = "/".join(_segments(legal))
    if legal and legal == plain and len(legal) <= LONGEST_ID:
        return legal
    digits = text_digest(plain or name)[:8]
    return with_suffix(legal, f"-{digits}") if legal else f"doc-{digits}"


def with_suffix(id: str, suffix: str) -> str:
    """Append ``suffix`` to ``id``, which is cut so that both fit."""
    return id[: LONGEST_ID - len(suffix)].rstrip("./-") + suffix


def _relative(name: str, root: str | PathLike[str] | None) -> str:
    path = _FILE_URL.sub("", name)
    path = unquote(path) if path != name else name
    if "://" in path:
        return _USERINFO.sub("", path)
    path = path.replace("\\", "/")
    if root is not None:
        below = posixpath.normpath(str(fspath(root)).replace("\\", "/"))
        if posixpath.normpath(path).startswith(below.rstrip("/") + "/"):
            return posixpath.normpath(path)[len(below.rstrip("/")) + 1 :]
    if not (path.startswith("/") or _DRIVE.match(path)):
        return posixpath.normpath(path)
    segments = _segments(posixpath.normpath(_DRIVE.sub("/", path, count=1)))
    in_home = len(segments) > 2 and segments[-3] in _HOMES
    return "/".join(segments[-1:] if in_home else segments[-2:])


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment not in ("", ".", "..")]
