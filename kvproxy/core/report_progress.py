"""`ReportProgress`: the type of every progress callback."""

from __future__ import annotations

from collections.abc import Callable

ReportProgress = Callable[[int, int], None]
"""Called as ``report(done, total)``, in the unit that its receiver names: tokens or bytes."""
