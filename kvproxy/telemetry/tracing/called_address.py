"""The attributes of an address that is called: never its query, where some providers want their key."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from kvproxy.telemetry.tracing.attribute_names import FULL_URL, SERVER_ADDRESS, SERVER_PORT, Attributes

_PORTS = {"http": 80, "https": 443}


def address_attributes(url: str) -> Attributes:
    """Return host, port and URL, without name, password, query and fragment.

    Example: ``address_attributes("https://api.example.com/v1/messages")["server.port"] == 443``
    """
    parts = urlsplit(url)
    try:
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # no number
        port = None
    host = parts.hostname or ""
    place = parts.netloc.rpartition("@")[2]
    attributes: Attributes = {
        SERVER_ADDRESS: host,
        FULL_URL: urlunsplit((parts.scheme, place, parts.path, "", "")),
    }
    return attributes if port is None else {**attributes, SERVER_PORT: port}
