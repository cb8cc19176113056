"""The roles and the value types of factored: read this first.

A request meets the gate, which lets a good :class:`Ticket` through and sends everybody else to the
auth app. There a :class:`Scheme` verifies a response, the throttle having counted the attempt in an
:class:`AttemptStore` first; the :class:`UserStore` remembers what was accepted, and a ticket is
issued. All else hangs on these few shapes.

Times are Unix seconds (``_at``) and seconds (``_s``), both as numbers.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from factored.words import ENGLISH, Words

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

# -- errors ------------------------------------------------------------------------------------


class FactoredError(Exception):
    """Base of every error that factored raises on purpose."""


class ConfigurationError(FactoredError):
    """The settings cannot be used: the operator's to mend.

    :param problems: one sentence each, naming the key, the value and what is allowed
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class StoreError(FactoredError):
    """The database did not answer, or not as it should: nobody is let in by it."""


class FinderError(FactoredError):
    """The finder's source did not answer: nobody new is let in by it."""


class SendingFails(FactoredError):
    """Mails cannot be sent at the moment, to nobody: one page says so, whatever the name."""


class UserExists(FactoredError):
    """A user with this name, in this or another spelling, is there already."""


class DecryptionError(FactoredError):
    """A stored or presented value was not made by these keys for this purpose and place."""


# -- value types -------------------------------------------------------------------------------


class Verdict(enum.Enum):
    """What came of an attempt; an expected outcome, never an exception.

    SKEWED is a code that is right for another moment: it lets nobody in, but a clock seems off.
    """

    ACCEPTED = "accepted"
    WRONG = "wrong"
    EXPIRED = "expired"
    REPLAYED = "replayed"
    SKEWED = "skewed"
    LOCKED = "locked"
    UNKNOWN_USER = "unknown_user"


class AuthenticatorState(enum.Enum):
    """PENDING has not shown a code yet and cannot log in; ACTIVE can."""

    PENDING = "pending"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Authenticator:
    """What a user holds, as the store keeps it.

    ``secret`` is ciphertext bound to ``id``; ``last_step`` the last accepted TOTP step, or -1;
    ``needs_renewal`` marks a secret that is shorter than today's.
    """

    id: str
    user_id: int
    scheme: str
    label: str
    secret: str = field(repr=False)
    state: AuthenticatorState
    created_at: int
    confirmed_at: int | None = None
    last_used_at: int | None = None
    last_step: int = -1
    needs_renewal: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """A user as stored: ``username`` goes downstream, ``username_key`` finds him.

    ``ticket_series`` stands in each of his tickets; revoking it ends them all.
    """

    id: int
    username: str
    username_key: str
    ticket_series: str = field(repr=False)
    created_at: int
    disabled_at: int | None = None
    authenticators: tuple[Authenticator, ...] = ()
    last_login_at: int | None = None

    def active(self, scheme: str) -> tuple[Authenticator, ...]:
        """scheme path -> the authenticators that may log in by it; none while disabled"""
        if self.disabled_at is not None:
            return ()
        return tuple(
            one
            for one in self.authenticators
            if one.scheme == scheme and one.state is AuthenticatorState.ACTIVE
        )


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to be made, one of many; ``authenticators`` makes what he holds, from his new id."""

    username: str
    username_key: str
    ticket_series: str = field(repr=False)
    created_at: int
    disabled_at: int | None = None
    last_login_at: int | None = None
    authenticators: Callable[[int], Sequence[Authenticator]] | None = field(
        default=None, repr=False
    )


@dataclass(frozen=True, slots=True)
class Ticket:
    """A verified login. ``scheme`` is the path of the scheme that was proven (``ga``, ``em``)."""

    user: str
    scheme: str
    issued_at: int
    login_at: int
    lifetime_s: int
    remember: bool
    ticket_id: str = field(repr=False)
    series: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: the name as typed and checked, and the browser that a code must come back from.

    ``link_url`` is what a mailed link's token is put behind, empty where no link can be mailed;
    ``return_to`` where the one lands who presses it. ``words`` is the language to write in.
    """

    username: str
    browser_id: str = field(repr=False)
    link_url: str = ""
    return_to: str = ""
    words: Words = field(default=ENGLISH, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a scheme sent and now waits for; TOTP sends nothing and has none.

    A name without an account has challenges too, with no ``user_id``; ``address`` is then where a
    finder says that the name may have one, or empty. ``link_hash`` is the keyed hash of the token
    of a mailed link, if there is one; code and link are used up together.
    """

    id: str
    scheme: str
    user_id: int | None
    username_key: str
    address: str
    browser_hash: str = field(repr=False)
    code_hash: str = field(repr=False)
    created_at: int
    ends_at: int
    link_hash: str | None = field(default=None, repr=False)
    return_to: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """A browser that logged in as this user before: it has a throttle budget of its own."""

    id: str
    user_id: int
    created_at: int
    last_used_at: int
    user_agent: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class OpenTicket:
    """A ticket that was issued, as its user may see it; the gate never asks for it.

    ``last_seen_at`` may be some minutes late, and ``ends_at`` is the latest moment it can have.
    """

    id: str = field(repr=False)
    user_id: int
    scheme: str
    device_id: str
    user_agent: str
    address: str
    login_at: int
    last_seen_at: int
    ends_at: int


@dataclass(frozen=True, slots=True)
class NewLogin:
    """What a login that was accepted changes in the store: all of it, or nothing.

    :param device: the browser as it is known from now on; unless ``new_device``, one that was
        forgotten in the meantime stays forgotten
    :param forgiven: the attempt that takes its own count back; None where nothing was counted
    :param cleared: buckets that are emptied
    :param ended: ids of tickets that are revoked, and shown no more
    :param revoke_for_s: how long those must be refused
    """

    ticket: OpenTicket
    device: Device
    new_device: bool
    forgiven: Attempt | None = None
    cleared: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    revoke_for_s: int = 0


@dataclass(frozen=True, slots=True)
class CodesLeft:
    """Recovery codes of a user: how many are not burned, and when they were made."""

    left: int
    made_at: int


class LinkKind(enum.Enum):
    """What the one press of a one-time link does."""

    UNLOCK = "unlock"
    ENROL = "enrol"


@dataclass(frozen=True, slots=True)
class Link:
    """A one-time link; only a keyed hash of its token is stored."""

    id: int
    kind: LinkKind
    user_id: int
    username: str
    ends_at: int
    return_to: str


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``count`` attempts in any ``window_s`` seconds."""

    count: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Charge:
    """One bucket that an attempt is counted in, with the limits that hold for it."""

    bucket: str
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was counted, so that a success can take its own count back."""

    id: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An attempt that was not counted and must not be evaluated: ``bucket`` is full."""

    bucket: str
    retry_after_s: int


# -- roles -------------------------------------------------------------------------------------


class Clock(Protocol):
    """The only source of the time."""

    def now_s(self) -> float:
        """-> Unix time, seconds"""

    def monotonic_s(self) -> float:
        """-> seconds since an unknown moment; never goes back"""


class Scheme(Protocol):
    """One way to prove that it is you: ``(user, response) -> Verdict``.

    An entry point of the group ``factored.schemes`` names a factory, ``SchemeContext -> Scheme``;
    the name of the entry point is what ``supported_auth_schemes`` lists.
    """

    name: str
    """As listed in supported_auth_schemes, and shown in the chooser: ``Google Auth``."""
    path: str
    """URL segment under base_auth_url and token in the ticket, ``[a-z]+``: ``ga``."""
    budget: str
    """Which throttle budgets its attempts are counted in: ``totp``."""
    title: str
    """Heading of its pages."""
    code_label: str
    """Label of the one field of its code page."""
    code_desc: str
    """One sentence that says where the code comes from."""
    sends: bool
    """Whether a name makes it send something, so that sending has a cooldown."""

    def check_sending(self) -> None:
        """-> None; asked before a sending is counted, and not called unless ``sends``

        :raises SendingFails: nothing can be sent at the moment, to nobody
        """

    def challenge(self, user: User | None, asker: Asker) -> None:
        """user or None, asker -> None; sends a code and waits for it, if ``sends``

        As long and with as much writing for None as for a user.

        :raises SendingFails: too much waits to be sent
        :raises StoreError: the store did not answer
        """

    def awaited(self, asker: Asker) -> Challenge | None:
        """asker -> the live challenge that an answer would be for; not called unless ``sends``"""

    def normalise(self, text: str) -> str | None:
        """what was typed -> the response, or None: it cannot be one and is not evaluated"""

    def verify(
        self,
        user: User | None,
        response: str,
        challenge: Challenge | None = None,
        *,
        known_device: bool = False,
    ) -> Verdict:
        """user or None, normalised response, what :meth:`awaited` gave -> Verdict

        Called after the throttle has counted the attempt. Takes as long for None (no such user)
        as for a user, and answers UNKNOWN_USER. Accepting burns the response in the same move:
        of two parallel calls with one response at most one is ACCEPTED.

        :param known_device: whether it comes from a browser that this user logged in with before,
            so that the guesses at it are few
        :raises StoreError: the store did not answer
        """


@runtime_checkable
class LinkScheme(Scheme, Protocol):
    """A scheme that mails links too; the page behind one is at ``base_auth_url/PATH/link/TOKEN``.

    The token is a response to the challenge that it leads to, and goes to :meth:`verify` as it is.
    """

    def linked(self, token: str) -> Challenge | None:
        """token of a mailed link -> the live challenge that it was sent for; changes nothing"""


class Cipher(Protocol):
    """Encryption of stored secrets; implemented by :class:`factored.keys.KeyRing`."""

    def encrypt(self, purpose: str, plaintext: str, *, bound_to: str) -> str:
        """purpose, plaintext, place -> ciphertext as ASCII text, of use in that place only"""

    def decrypt(self, purpose: str, ciphertext: str, *, bound_to: str) -> str:
        """the reverse of :meth:`encrypt`

        :raises DecryptionError: other keys, another purpose or another place; or damaged
        """


class UserStore(Protocol):
    """Users and their authenticators. Each method is one short transaction."""

    def find(self, username_key: str) -> User | None:
        """username_key -> User with all authenticators, or None"""

    def find_with_devices(
        self, username_key: str, device_ids: Sequence[str]
    ) -> tuple[User | None, list[Device]]:
        """username_key, device ids -> what :meth:`find` gives, and which are this user's devices

        As long for a known name as for an unknown one, whosever the devices are.
        """

    def get(self, user_id: int) -> User | None:
        """user id -> User with all authenticators, or None"""

    def add(
        self,
        username: str,
        username_key: str,
        *,
        ticket_series: str,
        now_s: int,
        authenticator: Callable[[int], Authenticator] | None = None,
    ) -> User:
        """names -> the User made, with the authenticator that the callable makes for its id

        :raises UserExists: the key is taken; nothing was changed
        """

    def find_many(self, username_keys: Sequence[str]) -> list[User]:
        """up to 1,000 username_keys -> the users that there are, each once, in any order"""

    def add_many(self, newcomers: Iterable[NewUser]) -> int:
        """newcomers -> how many users were made: all of them, in one transaction

        There may be very many: they are read bit by bit, and whoever makes them may call
        :meth:`find_many` meanwhile, which does not see them yet. What they raise undoes everything.

        :raises UserExists: a key is taken, or comes twice; nothing was changed
        """

    def remove(self, user_id: int, *, revoke_for_s: int) -> bool:
        """user id -> whether there was one; its series is revoked in the same transaction"""

    def each(self) -> Iterator[User]:
        """-> every user with its authenticators, by name; read in pages, no transaction held"""

    def accept_step(self, authenticator_id: str, step: int, *, now_s: int) -> bool:
        """authenticator, TOTP step -> whether this call was the first to use that step

        True moves ``last_step`` forward to it; an equal or an older step is False.
        """

    def add_pending(self, authenticator: Authenticator) -> None:
        """a PENDING authenticator -> None; one that the user left pending before is gone"""

    def confirm(
        self, authenticator_id: str, step: int, *, ticket_series: str, now_s: int, revoke_for_s: int
    ) -> bool:
        """pending authenticator, step of its first code -> whether this call confirmed it

        In one transaction it becomes ACTIVE and the user's only one of its scheme, the recovery
        codes are gone, and the old ticket series is revoked and replaced.
        """

    def confirm_another(
        self, authenticator_id: str, step: int, *, label: str, most: int, now_s: int
    ) -> bool:
        """pending authenticator, step of its first code -> whether this call confirmed it

        It becomes ACTIVE beside the others of its scheme, unless there are ``most`` already; exact
        under any parallelism.
        """

    def rename_authenticator(self, user_id: int, authenticator_id: str, label: str) -> bool:
        """user, authenticator, new label -> whether the user has such an active one"""

    def drop_authenticator(
        self, user_id: int, authenticator_id: str, *, ticket_series: str, revoke_for_s: int
    ) -> bool:
        """user, authenticator -> whether it was deleted: the user has it, and another active one

        Exact under any parallelism: the last one stays. In the same transaction the old ticket
        series is revoked and replaced.
        """

    def end_tickets(self, user_id: int, *, ticket_series: str, revoke_for_s: int) -> bool:
        """user id, a new series -> whether there is such a user

        The old series is revoked and replaced in the same transaction.
        """

    def set_disabled(
        self, user_id: int, disabled_at: int | None, *, ticket_series: str, revoke_for_s: int
    ) -> bool:
        """user id, since when or None -> whether there is such a user; the tickets end as well"""

    def replace_secret(self, authenticator_id: str, old: str, new: str) -> bool:
        """authenticator, ciphertext now, ciphertext from now on -> whether it still held the old"""

    def lower_steps(self, user_id: int, step: int, *, window: int = 0) -> int:
        """user id, present step -> how many authenticators stood beyond its window; now at it"""


class DeviceStore(Protocol):
    """Known devices."""

    def add(self, device: Device) -> None:
        """device -> None"""

    def find(self, device_id: str, user_id: int) -> Device | None:
        """device id, user id -> Device, or None: unknown, forgotten, or somebody else's"""

    def of(self, user_id: int) -> list[Device]:
        """user id -> the user's devices, the last used first"""

    def forget(self, device_id: str, user_id: int) -> bool:
        """device id, user id -> whether it was this user's; it is known no more"""

    def prune(self, *, unused_since: int) -> int:
        """Unix time -> how many that were last used before it were deleted"""


class TicketStore(Protocol):
    """Open tickets, for the eyes of their users. What lets in and what not is decided elsewhere."""

    def add_login(self, login: NewLogin) -> None:
        """login -> None; in one transaction all that it changes

        :raises StoreError: the store did not answer, or the user is gone; nothing was changed
        """

    def add(self, ticket: OpenTicket) -> None:
        """ticket -> None; it is the last login of its user too"""

    def of(self, user_id: int, *, now_s: int) -> list[OpenTicket]:
        """user id -> the user's tickets that are not over, the newest login first

        One whose series was revoked is in it no more.
        """

    def see(self, seen: Mapping[str, int]) -> None:
        """ticket id -> Unix time; sets when those were last seen, which only moves forward"""

    def drop(self, ticket_ids: Sequence[str]) -> None:
        """ticket ids -> None; they are shown no more"""

    def prune(self, *, now_s: int) -> int:
        """-> how many that are over were deleted"""


class RecoveryCodeStore(Protocol):
    """Recovery codes as keyed hashes, each good once."""

    def replace(self, user_id: int, code_hashes: Sequence[str], *, now_s: int) -> None:
        """user id, hashes of new codes -> None; the codes from before are good no more"""

    def burn(self, user_id: int, code_hashes: Sequence[str], *, now_s: int) -> bool:
        """user id, the code's hash under each key -> whether this call burned it"""

    def left(self, user_id: int) -> CodesLeft | None:
        """user id -> CodesLeft, or None: none were ever made"""


class LinkStore(Protocol):
    """One-time links."""

    def add(
        self, kind: LinkKind, user_id: int, token_hash: str, *, now_s: int, ends_at: int
    ) -> None:
        """kind, user, keyed hash of the token -> None"""

    def find(self, token_hashes: Sequence[str], *, now_s: int) -> Link | None:
        """the token's hash under each key -> Link if it is unspent and not over, else None"""

    def spend(self, link_id: int, *, now_s: int) -> bool:
        """link id -> whether this call was the one that spent it"""

    def end(self, user_id: int, kind: LinkKind | None = None) -> None:
        """user id, kind or None for all -> None; the user's links of that kind are good no more"""

    def prune(self, *, now_s: int) -> int:
        """-> how many whose time is over were deleted"""


class ChallengeStore(Protocol):
    """Challenges that are waited for."""

    def add(self, challenge: Challenge) -> None:
        """challenge -> None; it is the newest of its browser and scheme from now on"""

    def newest(self, browser_hashes: Sequence[str], scheme: str, *, now_s: int) -> Challenge | None:
        """the browser's hash under each key, scheme -> its newest Challenge if it is still live

        Live: neither over, nor used, nor tried as often as allowed. An older one never counts.
        """

    def linked(self, link_hashes: Sequence[str], scheme: str, *, now_s: int) -> Challenge | None:
        """a link token's hash under each key, scheme -> its Challenge if it is still live"""

    def answer(self, challenge_id: str, hashes: Sequence[str], *, now_s: int) -> bool:
        """challenge, hashes of code or link under each key -> whether this call used it up

        Each call takes one try, and a try that was not left is False whatever the response.
        """

    def prune(self, *, now_s: int) -> int:
        """-> how many whose time is over were deleted"""


class AttemptStore(Protocol):
    """Attempts, counted so that none is lost and none too many gets through."""

    def count(self, charges: Sequence[Charge], *, now_s: int) -> Attempt | Refusal:
        """charges -> Attempt counted in every bucket, or Refusal counted in none

        Exact under any parallelism, over processes and nodes.

        :raises StoreError: the store did not answer; the attempt must not be evaluated
        """

    def stamps(self, buckets: Sequence[str], *, now_s: int) -> dict[str, list[int]]:
        """buckets -> when each was charged, oldest first; empty ones are missing"""

    def prune(self, *, now_s: int) -> int:
        """-> how many attempts older than every window were deleted"""


class RevocationStore(Protocol):
    """Revoked ticket ids and ticket series, by the store's own clock."""

    def add(self, values: Sequence[str], *, for_s: int) -> None:
        """ticket ids or series, seconds -> None; commits before it returns"""

    def read(self, since: int | None) -> tuple[int, list[str]]:
        """store time or None -> (store time now, values revoked since, or all that still count)"""

    def prune(self) -> int:
        """-> how many that have ended were deleted"""


class Stores(Protocol):
    """All that one gate remembers, behind one name: a database of ours, or what a plug-in has.

    An entry point of the group ``factored.stores`` names a factory, ``StoreContext -> Stores``; the
    name of the entry point is what the ini key ``store`` says. All methods are called by many
    threads, in processes that may have been forked after the factory ran. What one returned from is
    committed, and holds for every process and node.
    """

    location: str
    """Where it is, for people: no password."""
    users: UserStore
    devices: DeviceStore
    links: LinkStore
    challenges: ChallengeStore
    tickets: TicketStore
    recovery_codes: RecoveryCodeStore
    attempts: AttemptStore
    revocations: RevocationStore

    def revision(self) -> str | None:
        """-> which form its records have, or None: :meth:`upgrade` was never called here

        :raises StoreError: the store did not answer
        """

    def check(self) -> None:
        """-> None, if it answers and its records have a form that this release may work with

        That of a newer release too, if that one said so: nodes of both then serve side by side.

        :raises StoreError: they do not, or it did not answer; says what to do
        """

    def upgrade(self) -> None:
        """-> None; what ``factored init`` does: makes or upgrades, and loses nothing

        May run again, also after it was cut off half-way.

        :raises StoreError: the store did not answer, or is only for a newer release
        """

    def close(self) -> None:
        """-> None; the gate is closed and this process needs it no more"""


class Revocations(Protocol):
    """What the gate asks on every request: answers from memory, never from the database."""

    @property
    def ready(self) -> bool:
        """Whether this process has read the revocations once; until then no ticket is good."""

    def revoked(self, ticket: Ticket) -> bool:
        """ticket -> whether its id or its series was revoked"""

    def revoke(self, *values: str) -> None:
        """ticket ids or series -> None; they hold here at once, elsewhere within 5 s

        :raises StoreError: it could not be written
        """

    def learn(self, *values: str) -> None:
        """what the store has as revoked since just now -> None; it holds here at once"""


@dataclass(frozen=True)
class StoreContext:
    """All that a store's factory is handed; later releases only add fields.

    :param settings: what :mod:`factored.settings` parsed
    :param must_exist: refuse a store that is not there; False for ``factored init``, which makes it
    """

    settings: Any
    clock: Clock
    must_exist: bool = True


class Finder(Protocol):
    """May a name without an account have one?

    An entry point of the group ``factored.finders`` names a factory, ``FinderContext -> Finder``;
    the name of the entry point is what ``autouserfinder`` says.
    """

    def find(self, username: str) -> str | None:
        """checked name -> the address, the same but for case, that may have an account, or None

        Asked for every name, known ones too, so that it tells none apart.

        :raises FinderError: its source did not answer
        """


@dataclass(frozen=True)
class FinderContext:
    """All that a finder's factory is handed; later releases only add fields.

    :param settings: what :mod:`factored.settings` parsed
    """

    settings: Any


class Hasher(Protocol):
    """Keyed hashes; implemented by :class:`factored.keys.KeyRing`."""

    def macs(self, purpose: str, message: str) -> list[str]:
        """purpose, message -> its hash under every key, newest first"""


@dataclass(frozen=True, slots=True)
class Mail:
    """One message to one address; its text is in neither a log nor a repr.

    ``sender`` is the address it comes from, if not the usual one. After ``good_until`` (Unix time)
    it is dropped.
    """

    to: str
    subject: str
    text: str = field(repr=False)
    good_until: int
    sender: str = ""


class Outbox(Protocol):
    """Where mails are left; a page never waits for a mail server."""

    def check(self) -> None:
        """-> None

        :raises SendingFails: sending keeps failing, or too much is waiting
        """

    def post(self, mail: Mail) -> None:
        """mail -> None; it is sent soon, or dropped when it is good no more"""


@dataclass(frozen=True)
class SchemeContext:
    """All that a scheme's factory is handed; later releases only add fields.

    :param settings: what :mod:`factored.settings` parsed
    """

    users: UserStore
    cipher: Cipher
    clock: Clock
    hasher: Hasher
    challenges: ChallengeStore
    recovery_codes: RecoveryCodeStore
    outbox: Outbox
    finder: Finder | None
    settings: Any
