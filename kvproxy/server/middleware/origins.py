"""`Origins`: the browser origins with access to this proxy (``server.cors_origins``)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

_LOOPBACK = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")
_PORTS = {"http": ":80", "https": ":443"}
_HERE = (".localhost", ".local", ".internal", ".home.arpa")


@dataclass(frozen=True, slots=True)
class Origins:
    """The allowed origins. ``loopback`` in the list stands for http and https on localhost, 127.0.0.1 and [::1], at any
    port; ``*`` for every origin; any other entry for one origin: scheme, host and port."""

    anyone: bool
    loopback: bool
    named: frozenset[str]

    @classmethod
    def of(cls, listed: Iterable[str]) -> Origins:
        """Make the allowed origins from the entries of ``server.cors_origins``."""
        names = set(listed)
        named = frozenset(_normal(name) for name in names - {"*", "loopback"})
        return cls("*" in names, "loopback" in names, named)

    def allow(self, origin: str) -> bool:
        """Return True when pages of ``origin`` may read the answers."""
        return self.anyone or _normal(origin) in self.named or (self.loopback and _is_loopback(origin))

    def foreign(self, origin: str) -> bool:
        """Return True for the origin of a page that is not allowed, which a proxy without keys refuses.

        False for programs with a scheme of their own, which no page can have.
        """
        return not self.allow(origin) and (origin == "null" or origin.startswith(("http://", "https://")))

    def host_allowed(self, host: str) -> bool:
        """Return True when ``host`` may name a loopback address.

        False for names in public DNS: the owner of such a name can point it here once a page has been loaded from it
        (DNS rebinding).
        """
        name = _host_name(host)
        if self.anyone or not name or "." not in name.rstrip(".") or name.rstrip(".").endswith(_HERE):
            return True
        return _is_address(name) or name in {urlsplit(origin).hostname for origin in self.named}


def _is_loopback(origin: str) -> bool:
    return _LOOPBACK.fullmatch(origin.lower()) is not None


def _normal(origin: str) -> str:
    """Return an origin as browsers write it: in lower case, without the scheme's default port."""
    lower = origin.lower()
    port = _PORTS.get(lower.partition("://")[0], "")
    return lower.removesuffix(port) if port else lower


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
