"""`ViewScope`: what a view may show its caller."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.core import Caller, Permission


@dataclass(frozen=True, slots=True)
class ViewScope:
    """The caller of a view. An admin sees sums of all tenants, and never their texts or private ids."""

    caller: Caller

    @property
    def everyone(self) -> bool:
        """True where the view shows sums over all tenants."""
        return "admin" in self.caller.permissions

    @property
    def tenant(self) -> str | None:
        """The tenant's name, by which the usage figures are asked; None: all tenants'."""
        return None if self.everyone else self.caller.name

    def may(self, *needs: Permission) -> bool:
        """Return True where the API key has one of these permissions, or none is named."""
        return not needs or any(need in self.caller.permissions for need in needs)

    @property
    def sharing(self) -> Caller:
        """A key: two callers with an equal one see equal fragments, which are rendered once for both. It is all that is
        known of the caller, its key's id included: a grant may be for one key of a tenant."""
        return self.caller
