"""The address where an MCP server listens, and the callers that it admits there."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from kvproxy.errors import SetupError

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Exposure:
    """An address with the token that every request must carry there, if any, and the names that clients may call it by.

    Names are checked against DNS rebinding: a page in a browser may reach a loopback address, but not under its name.
    """

    host: str
    port: int
    token: str | None
    names: tuple[str, ...]

    @property
    def hosts(self) -> list[str]:
        """The ``Host`` headers that are taken."""
        return [form for name in self.names for form in (name, f"{name}:*")]

    @property
    def origins(self) -> list[str]:
        """The ``Origin`` headers that are taken. A program sends none."""
        return [f"{scheme}://{host}" for scheme in ("http", "https") for host in self.hosts]


def read_exposure(address: str, token: str | None, names: Sequence[str] = ()) -> Exposure:
    """Return the exposure at ``HOST:PORT``. Raises SetupError for no such address, for one that others can reach
    without a token, and for every address at once without a name that clients use.

    Example: ``read_exposure("127.0.0.1:8322", None)``
    """
    host, port = _host_and_port(address)
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token and token):
        raise SetupError("--token must be printable ASCII without blanks, and not empty")
    if _is_loopback(host):
        return Exposure(host, port, token, (*_LOOPBACK, *names))
    if token is None:
        raise SetupError(
            f"others can reach {host}, so clients must show a token there: give --token (or KVPROXY_MCP_TOKEN), "
            "or listen on 127.0.0.1"
        )
    if _is_wildcard(host):
        if not names:
            raise SetupError(
                f"{host} is every address of this machine: name the host that clients use with --allow-host"
            )
        return Exposure(host, port, token, (*_LOOPBACK, *names))
    return Exposure(host, port, token, (_in_url(host), *_LOOPBACK, *names))


def _host_and_port(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not bare or (":" in bare and host == bare) or not (port.isascii() and port.isdecimal()):
        raise SetupError(f"'{address}' is no HOST:PORT, such as 127.0.0.1:8322 or [::1]:8322")
    if int(port) > 65_535:
        raise SetupError(f"'{address}': there is no port {port}")
    return bare, int(port)


def _is_loopback(host: str) -> bool:
    address = _ip(host)
    return host == "localhost" if address is None else address.is_loopback


def _is_wildcard(host: str) -> bool:
    address = _ip(host)
    return address is not None and address.is_unspecified


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
