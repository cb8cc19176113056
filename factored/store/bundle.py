"""Whole stores: ``SQL``, with all roles in one database, and one in memory for tests."""

from __future__ import annotations

from factored.interfaces import (
    AttemptStore,
    ChallengeStore,
    DeviceStore,
    LinkStore,
    RecoveryCodeStore,
    RevocationStore,
    StoreContext,
    StoreError,
    TicketStore,
    UserStore,
)
from factored.store import schema
from factored.store.attempts import SqlAttemptStore
from factored.store.challenges import SqlChallengeStore
from factored.store.database import Database
from factored.store.devices import SqlDeviceStore, SqlTicketStore
from factored.store.legacy import LegacyUsers
from factored.store.links import SqlLinkStore, SqlRecoveryCodeStore
from factored.store.memory import (
    MemoryAttemptStore,
    MemoryChallengeStore,
    MemoryLinkStore,
    MemoryRecoveryCodeStore,
    MemoryRevocationStore,
)
from factored.store.memory_users import MemoryDeviceStore, MemoryTicketStore, MemoryUserStore
from factored.store.revocations import SqlRevocationStore
from factored.store.sql import SqlUserStore


class SqlStores:
    """:class:`factored.interfaces.Stores` in the database that ``sqlalchemy.url`` names.

    :raises ConfigurationError: no such driver, or a database file that is not there
    """

    def __init__(self, context: StoreContext) -> None:
        database = Database(context.settings.sqlalchemy, require_file=context.must_exist)
        self.database = database
        self.legacy = LegacyUsers(database)
        self.location = database.url
        self.users: UserStore = SqlUserStore(database)
        self.devices: DeviceStore = SqlDeviceStore(database)
        self.links: LinkStore = SqlLinkStore(database)
        self.challenges: ChallengeStore = SqlChallengeStore(database)
        self.tickets: TicketStore = SqlTicketStore(database)
        self.recovery_codes: RecoveryCodeStore = SqlRecoveryCodeStore(database)
        self.attempts: AttemptStore = SqlAttemptStore(database)
        self.revocations: RevocationStore = SqlRevocationStore(database)

    def revision(self) -> str | None:
        return schema.revision(self.database)

    def check(self) -> None:
        schema.require_served(self.database)

    def upgrade(self) -> None:
        schema.upgrade(self.database)

    def close(self) -> None:
        self.database.engine.dispose()


class MemoryStores:
    """:class:`factored.interfaces.Stores` in memory: each one is a store of its own."""

    location = "memory"

    def __init__(self, context: StoreContext) -> None:
        self._revision: str | None = None
        revocations = MemoryRevocationStore(context.clock)
        attempts = MemoryAttemptStore()
        devices = MemoryDeviceStore()
        recovery_codes = MemoryRecoveryCodeStore()
        users = MemoryUserStore(revocations, attempts, devices, recovery_codes)
        self.users: UserStore = users
        self.devices: DeviceStore = devices
        self.links: LinkStore = MemoryLinkStore(users)
        self.challenges: ChallengeStore = MemoryChallengeStore()
        self.tickets: TicketStore = MemoryTicketStore(users, devices, attempts, revocations)
        self.recovery_codes: RecoveryCodeStore = recovery_codes
        self.attempts: AttemptStore = attempts
        self.revocations: RevocationStore = revocations

    def revision(self) -> str | None:
        return self._revision

    def check(self) -> None:
        if self._revision is None:
            raise StoreError("nothing was made in memory: run `factored init`")

    def upgrade(self) -> None:
        self._revision = "1"

    def close(self) -> None:
        pass
