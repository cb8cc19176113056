"""Email Domain: whoever proves a mailbox in one of these domains may have an account."""

from __future__ import annotations

from factored import names
from factored.interfaces import FinderContext


class EmailDomainFinder:
    """:class:`factored.interfaces.Finder` by the part of an address after the ``@``."""

    def __init__(self, context: FinderContext) -> None:
        self._domains = frozenset(context.settings.finder_valid_domains)

    def find(self, username: str) -> str | None:
        # A mail server that trusts us may send a%b@c on to a@b (Postfix: allow_percent_hack).
        if not names.ADDRESS.fullmatch(username) or "%" in username:
            return None
        address = names.key(username)
        return address if address.rpartition("@")[2] in self._domains else None
