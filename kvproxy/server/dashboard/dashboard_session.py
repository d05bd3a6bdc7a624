"""`SessionSeal`: a session of the dashboard, sealed into a cookie, and the CSRF token that belongs to it.

The server keeps nothing: the cookie holds the API key under AES-256-GCM, and every request asks the keyring about that
key again, so that a revoked key ends its sessions. A stolen cookie is worth what the key is worth, until it expires.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

COOKIE = "kvproxy_session"
LIFETIME_S = 12 * 3600
MOST_KEY = 1024
"""Characters of an API key: a browser keeps no cookie of over 4 KiB."""

_NONCE = 12
_BOUND = b"kvproxy dashboard session 1"


@dataclass(frozen=True, slots=True)
class DashboardSession:
    """One browser's session. ``key`` is empty where nobody is logged in, and where the proxy needs no key."""

    key: str
    nonce: str
    """Random; the CSRF token is bound to it, and so are the streams of live events."""
    expires: int
    """Unix time in seconds."""

    @classmethod
    def begin(cls, key: str, now: float) -> DashboardSession:
        """Begin a session for an API key, with a new nonce."""
        return cls(key, secrets.token_urlsafe(16), int(now) + LIFETIME_S)


class SessionSeal:
    """Seals sessions and notices. ``secret``: the setting ``dashboard.secret``; None: a random one, so that sessions
    end with the process.

    Example: ``seal = SessionSeal(None); seal.open(seal.seal(session), time.time()) == session``
    """

    def __init__(self, secret: str | None) -> None:
        root = os.urandom(32) if secret is None else hashlib.sha256(secret.encode()).digest()
        self._cipher = AESGCM(hmac.digest(root, b"kvproxy dashboard: sessions", "sha256"))
        self._tokens = hmac.digest(root, b"kvproxy dashboard: csrf", "sha256")

    def seal(self, session: DashboardSession) -> str:
        """Return the cookie's value."""
        return self.seal_text(json.dumps([session.key, session.nonce, session.expires]), _BOUND)

    def open(self, cookie: str, now: float) -> DashboardSession | None:
        """Return the session of a cookie; None for one that is changed, expired, or sealed by another secret."""
        text = self.open_text(cookie, _BOUND)
        if text is None:
            return None
        session = DashboardSession(*json.loads(text))
        return session if now < session.expires else None

    def token(self, session: DashboardSession) -> str:
        """Return the CSRF token of a session."""
        return hmac.digest(self._tokens, session.nonce.encode(), "sha256").hex()

    def is_token(self, session: DashboardSession, sent: str) -> bool:
        """Return True for the CSRF token of a session, in constant time."""
        return hmac.compare_digest(self.token(session).encode(), sent.encode("utf-8", "surrogatepass"))

    def seal_text(self, text: str, bound: bytes) -> str:
        """Return a text sealed for one purpose: ``open_text`` with other ``bound`` bytes does not open it.

        Example: ``seal.seal_text("Pinned handbook@3.", b"notice")``
        """
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), bound)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open_text(self, sealed: str, bound: bytes) -> str | None:
        """Return a sealed text; None for one that is changed or not for this purpose.

        Example: ``seal.open_text(cookie, b"notice")``
        """
        try:
            raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], bound).decode()
        except (InvalidTag, binascii.Error, ValueError):
            return None
