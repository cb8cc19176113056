"""The tables, laid out for all schemes to come; every moment is Unix time in whole seconds.

Migrations in ``migrations/`` make them; a test holds the two together.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

# 254 characters of name; every other text column is ASCII made by us, so 255 is enough.
NAME = String(255)
ID = String(22)


class Base(DeclarativeBase):
    """Names every constraint, so that a later migration can drop it on any database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _user_id() -> Mapped[int]:
    return mapped_column(ForeignKey("factored_users.id", ondelete="CASCADE"), index=True)


class UserRow(Base):
    """A user; ``username_key`` alone finds him. Ids are never given twice."""

    __tablename__ = "factored_users"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(NAME)
    username_key: Mapped[str] = mapped_column(NAME, unique=True)
    ticket_series: Mapped[str] = mapped_column(ID)
    created_at: Mapped[int] = mapped_column(BigInteger)
    disabled_at: Mapped[int | None] = mapped_column(BigInteger)
    # Of the tickets that were deleted; those that are there tell of later ones.
    last_login_at: Mapped[int | None] = mapped_column(BigInteger)

    authenticators: Mapped[list[AuthenticatorRow]] = relationship(
        order_by="AuthenticatorRow.created_at, AuthenticatorRow.id", viewonly=True
    )


class AuthenticatorRow(Base):
    """What a user holds: a TOTP secret, and later a public key or a phone; several of a kind."""

    __tablename__ = "factored_authenticators"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[int] = _user_id()
    scheme: Mapped[str] = mapped_column(String(16))
    label: Mapped[str] = mapped_column(NAME)
    # Ciphertext bound to the id, or what else a scheme keeps (a WebAuthn credential as JSON).
    secret: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[int] = mapped_column(BigInteger)
    confirmed_at: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)
    # TOTP step or signature counter: only moves forward.
    last_step: Mapped[int] = mapped_column(BigInteger)
    needs_renewal: Mapped[bool]


class RecoveryCodeRow(Base):
    """One recovery code as keyed hash; ``used_at`` burns it."""

    __tablename__ = "factored_recovery_codes"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[int] = _user_id()
    code_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)


class ChallengeRow(Base):
    """A code that was sent and is waited for. Unknown names have rows too, with no user."""

    __tablename__ = "factored_challenges"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey("factored_users.id", ondelete="CASCADE"), index=True
    )
    username_key: Mapped[str] = mapped_column(NAME)
    address: Mapped[str] = mapped_column(NAME)
    scheme: Mapped[str] = mapped_column(String(16))
    browser_hash: Mapped[str] = mapped_column(String(64), index=True)
    code_hash: Mapped[str] = mapped_column(String(64))
    tries: Mapped[int]
    created_at: Mapped[int] = mapped_column(BigInteger)
    ends_at: Mapped[int] = mapped_column(BigInteger, index=True)
    used_at: Mapped[int | None] = mapped_column(BigInteger)
    # Of the link in the same mail, if there is one. Both may be missing: older nodes write none.
    link_hash: Mapped[str | None] = mapped_column(String(64), index=True, unique=True)
    return_to: Mapped[str | None] = mapped_column(Text)


class LinkRow(Base):
    """A one-time link; the token is stored as keyed hash, ``used_at`` spends it."""

    __tablename__ = "factored_links"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[int] = _user_id()
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    return_to: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)
    ends_at: Mapped[int] = mapped_column(BigInteger, index=True)
    used_at: Mapped[int | None] = mapped_column(BigInteger)


class DeviceRow(Base):
    """A known device: a browser that logged in as this user."""

    __tablename__ = "factored_devices"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[int] = _user_id()
    user_agent: Mapped[str] = mapped_column(String(255))
    # Missing where an older node wrote the row.
    address: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    last_used_at: Mapped[int] = mapped_column(BigInteger)


class TicketRow(Base):
    """A ticket that was issued, for the user's own overview; the gate never reads it."""

    __tablename__ = "factored_tickets"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[int] = _user_id()
    scheme: Mapped[str] = mapped_column(String(16))
    device_id: Mapped[str | None] = mapped_column(ID)
    user_agent: Mapped[str] = mapped_column(String(255))
    address: Mapped[str] = mapped_column(String(64))
    login_at: Mapped[int] = mapped_column(BigInteger)
    last_seen_at: Mapped[int | None] = mapped_column(BigInteger)
    ends_at: Mapped[int] = mapped_column(BigInteger, index=True)


class AttemptRow(Base):
    """One attempt in one of its buckets; rows of one attempt share ``attempt_id``."""

    __tablename__ = "factored_attempts"
    __table_args__ = (Index("ix_factored_attempts_bucket_at", "bucket", "at"),)

    attempt_id: Mapped[str] = mapped_column(ID, primary_key=True)
    bucket: Mapped[str] = mapped_column(String(80), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    ends_at: Mapped[int] = mapped_column(BigInteger, index=True)


class AttemptLockRow(Base):
    """What counting locks on databases with concurrent writers; the rows are made once."""

    __tablename__ = "factored_attempt_locks"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class RevocationRow(Base):
    """A ticket id or ticket series that ended; both moments by the database's clock."""

    __tablename__ = "factored_revocations"

    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(ID)
    created_at: Mapped[int] = mapped_column(BigInteger, index=True)
    ends_at: Mapped[int] = mapped_column(BigInteger, index=True)


class AdoptedRow(Base):
    """A row of the table of factored 1.x to 4.x that became a user, who may be gone by now."""

    __tablename__ = "factored_adopted"

    old_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    # As the old table has it.
    username: Mapped[str] = mapped_column(Text)
