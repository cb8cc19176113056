"""How often may be guessed: three budgets, so that no attacker gets far and no owner is shut out.

Unknown devices share a budget for each account, and have a smaller one for each source; a known
device has its own, which nobody else can spend.
"""

from __future__ import annotations

from dataclasses import dataclass

from factored.interfaces import (
    Attempt,
    AttemptStore,
    Charge,
    Clock,
    Device,
    Limit,
    Refusal,
    User,
)
from factored.keys import THROTTLE, KeyRing
from factored.store.attempts import bucket_owner, refusal

DAY_S = 86400
MONTH_S = 30 * DAY_S

# 25 in 30 days is 304 a year, and 325 in one that 13 such windows begin in; each guess at +-1 step
# hits with 3 in a million: 0.091 % a year, 0.098 % at worst.
ACCOUNT = (Limit(10, DAY_S), Limit(25, MONTH_S))
SOURCE = (Limit(5, DAY_S), Limit(10, MONTH_S))
# One source over all accounts: slows down who tries one code on many names.
ANY_ACCOUNT = (Limit(30, 600),)
DEVICE = (Limit(5, 300),)
# Not a window but a run: a success empties it. Full, the device is a stranger again.
DEVICE_RUN = (Limit(10, 400 * DAY_S),)

# Sending has a cooldown of its own: 3 mails in 10 minutes are what impatience needs.
SEND_UNKNOWN = (Limit(3, 600), Limit(10, DAY_S))
SEND_SOURCE = (Limit(30, 3600),)
SEND_DEVICE = (Limit(3, 600), Limit(20, DAY_S))

MAIL = "mail"
"""The budget of mails asked for."""

# Changes on the account page: each is mailed, and all mails share one queue.
CHANGES = (Limit(20, 600), Limit(60, DAY_S))

SHARED_BUCKETS = 65536
"""Names without an account, and sources, share these: made-up names cannot fill the store."""


@dataclass(frozen=True)
class Counted:
    """An attempt that may be evaluated now. ``device`` is None where it counted as unknown.

    ``attempt`` is None where nothing was counted. A success takes that one back, resets no other,
    and empties the buckets in ``clear_on_success``.
    """

    attempt: Attempt | None
    device: Device | None
    clear_on_success: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """One budget of an account: what unknown devices used of each limit, and how long it is full.

    ``locked_s`` is 0 while there is room.
    """

    budget: str
    used: tuple[tuple[Limit, int], ...]
    locked_s: int


class Throttle:
    """Counts each attempt before it is evaluated; the store makes that exact."""

    def __init__(self, attempts: AttemptStore, keys: KeyRing, clock: Clock) -> None:
        self._attempts = attempts
        self._keys = keys
        self._clock = clock

    def count(
        self, budget: str, username_key: str, user: User | None, source: str, device: Device | None
    ) -> Counted | Refusal:
        """who tries what from where -> Counted, or Refusal: must not be evaluated

        :param budget: the scheme's budget; schemes of one budget share the numbers
        :param source: from :func:`factored.environ.client_source`
        :param device: a known device of this very user, or None
        :raises StoreError: the store did not answer; nothing may be evaluated
        """
        now_s = int(self._clock.now_s())
        if device is not None:
            own, run = self.device_buckets(budget, device)
            counted = self._attempts.count(
                (Charge(own, DEVICE), Charge(run, DEVICE_RUN)), now_s=now_s
            )
            if isinstance(counted, Attempt):
                return Counted(counted, device, (run,))
            if counted.bucket != run:
                return counted
        account = self.account_bucket(budget, username_key, user)
        place = self._shared(f"source {source}")
        counted = self._attempts.count(
            (
                Charge(account, ACCOUNT),
                Charge(f"{account}:s{place}", SOURCE),
                Charge(f"s{place}", ANY_ACCOUNT),
            ),
            now_s=now_s,
        )
        return Counted(counted, None) if isinstance(counted, Attempt) else counted

    def count_sending(
        self, username_key: str, user: User | None, source: str, device: Device | None
    ) -> Refusal | None:
        """who wants a mail sent from where -> Refusal, or None: it is counted, and may be sent

        A stranger's requests spend nothing of a known device's budget.

        :raises StoreError: the store did not answer; nothing may be sent
        """
        device = self._trusted(device)
        if device is not None:
            charges: tuple[Charge, ...] = (
                Charge(self.device_buckets(MAIL, device)[0], SEND_DEVICE),
            )
        else:
            charges = (
                Charge(self.account_bucket(MAIL, username_key, user), SEND_UNKNOWN),
                Charge(f"s{self._shared(f'source {source}')}:{MAIL}", SEND_SOURCE),
            )
        counted = self._attempts.count(charges, now_s=int(self._clock.now_s()))
        return counted if isinstance(counted, Refusal) else None

    def count_change(self, user: User) -> Refusal | None:
        """user who changes the account -> Refusal, or None: it is counted, and may be done

        :raises StoreError: the store did not answer; nothing may be changed
        """
        bucket = f"{bucket_owner(user.id)}changes"
        counted = self._attempts.count((Charge(bucket, CHANGES),), now_s=int(self._clock.now_s()))
        return counted if isinstance(counted, Refusal) else None

    def unguessed(self, device: Device | None) -> Counted:
        """a known device, or None -> Counted, where a mailed link is pressed: nothing is counted

        Nobody guesses a link, so it opens where no guess is left (PROMISES 7 and 9).
        """
        device = self._trusted(device)
        runs = () if device is None else (self.device_buckets("", device)[1],)
        return Counted(None, device, runs)

    def standing(self, user: User, budget: str) -> Standing:
        """user, a scheme's budget or MAIL -> how much of it unknown devices have used up

        :raises StoreError: the store did not answer
        """
        now_s = int(self._clock.now_s())
        bucket = self.account_bucket(budget, user.username_key, user)
        charge = Charge(bucket, SEND_UNKNOWN if budget == MAIL else ACCOUNT)
        stamps = self._attempts.stamps([bucket], now_s=now_s)
        used = [
            (limit, sum(at > now_s - limit.window_s for at in stamps.get(bucket, ())))
            for limit in charge.limits
        ]
        full = refusal([charge], stamps, now_s)
        return Standing(budget, tuple(used), full.retry_after_s if full else 0)

    def account_bucket(self, budget: str, username_key: str, user: User | None) -> str:
        """budget, name, user if there is one -> the bucket of all unknown devices together

        A real account has its own, a name without one shares; both behave alike.
        """
        if user is not None:
            return f"{bucket_owner(user.id)}{budget}"
        return f"n{self._shared(f'name {username_key}')}:{budget}"

    @staticmethod
    def device_buckets(budget: str, device: Device) -> tuple[str, str]:
        """budget, device -> its bucket for that budget, and the one for its run of failures"""
        owner = f"{bucket_owner(device.user_id)}d{device.id}"
        return f"{owner}:{budget}", f"{owner}:run"

    def _trusted(self, device: Device | None) -> Device | None:
        """a known device -> it, or None: there is none, or too many failures made it a stranger"""
        if device is None:
            return None
        run = self.device_buckets("", device)[1]
        failures = self._attempts.stamps([run], now_s=int(self._clock.now_s())).get(run, [])
        return device if len(failures) < DEVICE_RUN[0].count else None

    def _shared(self, what: str) -> int:
        return self._keys.bucket(THROTTLE, what, SHARED_BUCKETS)
