"""A year of the best attack on one account: what is evaluated, and what the owner notices.

The services are driven by themselves, with stores in memory and a clock that jumps; ``pytest -s``
prints the numbers.
"""

from __future__ import annotations

import heapq
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, cycle, islice
from random import Random
from types import SimpleNamespace
from typing import Any

import pyotp
import pytest

from factored import names
from factored.codes import ALPHABET, new_id
from factored.environ import client_source
from factored.interfaces import Asker, AuthenticatorState, SchemeContext, Ticket, User, Verdict
from factored.keys import KeyRing
from factored.schemes.email_code import EmailScheme
from factored.schemes.totp import TotpScheme, first_code
from factored.services.devices import Browser, Devices
from factored.services.enrol_links import EnrolLinks
from factored.services.enrolment import Enrolment
from factored.services.login import Login, Outcome
from factored.services.open_tickets import OpenTickets
from factored.services.reminder import Reminder
from factored.services.throttle import Throttle
from tests.contract.test_stores import memory_stores
from tests.support import FixedClock, KeptMails, code_in

HOUR_S, DAY_S = 3600, 86400
MONTH_S, YEAR_S = 30 * DAY_S, 365 * DAY_S
MAILBOX, NO_MAILBOX = "al@example.com", "Zo\u00eb \u00c5ngstr\u00f6m"
A_MAILED_CODE = 1 / len(ALPHABET) ** 8
PERMITTED = 0.001
MOST = 13 * 25
"""A year has 13 beginnings of 30 days, if the first attempt is its first second."""


class Watched:
    """A scheme that notes when it was asked to verify, and by whom."""

    def __init__(self, scheme: Any, house: House) -> None:
        self._scheme, self._house = scheme, house
        self.evaluated: dict[str, list[int]] = {"attacker": [], "owner": []}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scheme, name)

    def verify(self, *what: Any, **more: Any) -> Verdict:
        self.evaluated[self._house.who].append(int(self._house.clock.now_s()))
        verdict: Verdict = self._scheme.verify(*what, **more)
        return verdict


class Endless:
    """Users whose steps are never used up."""

    def accept_step(self, authenticator_id: str, step: int, *, now_s: int) -> bool:
        return True


class Revocations:
    """No ticket ends in this story."""

    ready = True

    def revoked(self, ticket: Ticket) -> bool:
        raise AssertionError("no ticket is shown")

    def learn(self, *values: str) -> None:
        pass

    def revoke(self, *values: str) -> None:
        assert values == ()


class House:
    """One site with both schemes, an account that is attacked, and one of the attacker's own."""

    def __init__(self, name: str, authenticators: int = 1) -> None:
        self.clock = FixedClock()
        self.began_at = int(self.clock.now_s())
        self.who = "owner"
        self.name = name
        self.stores = memory_stores()
        self.outbox = KeptMails()
        ring = KeyRing(lambda: (b"k" * 32,))
        users: Any = self.stores.users
        settings = SimpleNamespace(
            email_auth_window=120, email_auth_subject="Code", email_auth_body="{code}"
        )
        self.context = context = SchemeContext(
            users,
            ring,
            self.clock,
            ring,
            self.stores.challenges,
            self.stores.recovery_codes,
            self.outbox,
            None,
            settings,
        )
        self.schemes = [Watched(TotpScheme(context), self), Watched(EmailScheme(context), self)]
        self.totp, self.email = self.schemes
        self.devices = Devices(users, self.stores.devices, ring, self.clock)
        throttle = Throttle(self.stores.attempts, ring, self.clock)
        tickets = OpenTickets(self.stores.tickets, self.clock, absolute_timeout_s=1, renewed=False)
        self.login = Login(
            users, throttle, self.devices, tickets, Revocations(), self.clock,
            lifetime_s=1, remember_s=1, revoke_for_s=1,
        )  # fmt: skip
        self.enrolment = Enrolment(ring, self.clock, first_code, issuer="site")
        links = EnrolLinks(
            users, self.stores.links, self.enrolment, ring, self.clock, revoke_for_s=1
        )  # fmt: skip
        self.reminder = Reminder(
            self.devices, throttle, links, self.outbox, self.clock,
            sender="", subject="", body="{code}",
        )  # fmt: skip
        self.user = self._add(name)
        self.stranger = self._add("mallory@example.com")
        for _ in range(authenticators - 1):
            users.add_pending(self.enrolment.make(self.user.id, AuthenticatorState.ACTIVE))
        held = users.find(self.user.username_key).active("ga")
        assert len(held) == authenticators
        self.secrets = [self.enrolment.credential(name, one).secret for one in held]

    def _add(self, name: str) -> User:
        return self.stores.users.add(
            name, names.key(name), ticket_series=new_id(), now_s=0,
            authenticator=self.enrolment.make,
        )  # fmt: skip

    @property
    def now_s(self) -> int:
        return int(self.clock.now_s())

    def code(self, offset_steps: int = 0, secret: str | None = None) -> str:
        return pyotp.TOTP(secret or self.secrets[0]).at(self.now_s + 30 * offset_steps)

    def codes_that_are_right(self) -> set[str]:
        """-> all codes of a stranger that some authenticator of the account would take now"""
        return {code for code in self.codes_near() if self._takes(code)}

    def codes_near(self) -> set[str]:
        """-> all codes of the minutes around now; some of them are only told about"""
        return {self.code(offset, secret) for secret in self.secrets for offset in range(-11, 12)}

    def wrong_code(self) -> str:
        """-> six digits that are not even told about"""
        near = self.codes_near()
        return next(code for code in map("{:06d}".format, range(100)) if code not in near)

    def _takes(self, code: str) -> bool:
        """Asks the scheme itself, with a store that lets no code be used up."""
        asked = TotpScheme(replace(self.context, users=Endless()))
        user = self.stores.users.find(names.key(self.name))
        return asked.verify(user, code) is Verdict.ACCEPTED

    def attempt(self, scheme: Any, typed: str, browser: Browser, name: str = "") -> Outcome:
        """What the page does with a name and a code."""
        checked = names.check(name or self.name)
        return self.login.attempt(scheme, checked, typed, browser, remember=False)

    def ask(self, browser: Browser, name: str = "") -> Outcome:
        asker = Asker(names.check(name or self.name), browser.browser_id)
        return self.login.challenge(self.email, asker, browser)

    def play(self, *stories: tuple[int, Callable[[], int]]) -> None:
        """(when it begins, what happens: -> seconds until it happens again)... for a year"""
        end_at = self.began_at + YEAR_S
        order = count()
        waiting = [(self.began_at + begins_s, next(order), story) for begins_s, story in stories]
        heapq.heapify(waiting)
        tidied_at = 0
        while waiting[0][0] < end_at:
            self.clock.time_s, _, story = heapq.heappop(waiting)
            if self.now_s - tidied_at > DAY_S:
                tidied_at = self.now_s
                for store in (self.stores.attempts, self.stores.challenges, self.stores.links):
                    store.prune(now_s=self.now_s)
            heapq.heappush(waiting, (self.now_s + story(), next(order), story))

    def evaluated(self, scheme: Any) -> list[int]:
        """-> when a guess of the attacker was evaluated"""
        times: list[int] = scheme.evaluated["attacker"]
        return times


def most_in(times: list[int], window_s: int) -> int:
    """-> the most that lie within any so many seconds"""
    return max(sum(at <= one < at + window_s for one in times) for at in times)


# -- who attacks -----------------------------------------------------------------------------------


def everywhere() -> Iterator[str]:
    """-> an address that never tried before: IPv4, IPv6 from another /64, a mapped one"""
    for number in count(1):
        high, low = divmod(number, 256)
        middle, high = divmod(high, 256)[::-1]
        yield f"10.{high}.{middle}.{low}"
        yield f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"
        yield f"::ffff:11.{high}.{middle}.{low}"


def one_place() -> Iterator[str]:
    """-> one address in all the ways that it can be written"""
    return cycle(["192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207", "0:0:0:0:0:ffff:c000:0207"])


def spellings(name: str) -> Iterator[str]:
    decomposed = unicodedata.normalize("NFD", name)
    angstrom = name.replace("\u00c5", "\u212b")
    return cycle(
        [
            name,
            name.upper(),
            name.lower(),
            f"  {name} ",
            decomposed,
            decomposed.swapcase(),
            angstrom,
        ]
    )


@dataclass
class Attacker:
    """Guesses whenever there is room, by every scheme, and comes back when the page says."""

    house: House
    addresses: Iterator[str]
    random: Random = field(default_factory=lambda: Random(6))
    asked: Browser | None = None

    def __post_init__(self) -> None:
        house = self.house
        self.spellings = spellings(house.name)
        own = house.devices.enlist(house.stranger.id, Browser("")).value
        void = house.devices.enlist(house.user.id, Browser("")).value
        self._wear_out(void)
        forged = f"{house.user.id}." + own.partition(".")[2]
        self.cookies = cycle([(), (own,), (forged,), (void,), (own, forged, void, "x.y.0")])

    def _wear_out(self, cookie: str) -> None:
        """A device of the owner's, on which he failed ten times in a row before the year began."""
        house = self.house
        for _ in range(10):
            house.clock.advance(61)
            outcome = house.attempt(house.totp, self.digits(), Browser("192.0.2.9", "", (cookie,)))
            assert outcome.verdict is Verdict.WRONG
        house.began_at = house.now_s

    def digits(self) -> str:
        """-> six digits, and never right ones: the year is to be played to its end"""
        right = self.house.codes_near()
        return next(
            code
            for code in (f"{self.random.randrange(10**6):06}" for _ in count())
            if code not in right
        )

    def guess(self, scheme: Any) -> int:
        """-> seconds until there is room again; all that there is room for is guessed"""
        self.house.who = "attacker"
        try:
            while True:
                outcome = self._one(scheme)
                if outcome.verdict is Verdict.LOCKED:
                    return outcome.retry_after_s
                assert outcome.verdict in (Verdict.WRONG, Verdict.EXPIRED)
                assert outcome.granted is None
        finally:
            self.house.who = "owner"

    def _one(self, scheme: Any) -> Outcome:
        house, name = self.house, next(self.spellings)
        browser = Browser(next(self.addresses), "curl", next(self.cookies), new_id())
        if not scheme.sends:
            return house.attempt(scheme, self.digits(), browser, name)
        asker = None if self.asked is None else Asker(house.name, self.asked.browser_id)
        if asker is None or scheme.awaited(asker) is None:
            outcome = house.ask(browser, name)
            if outcome.verdict is Verdict.LOCKED:
                return outcome
            self.asked = browser
        # The challenge hangs on the browser's id; address and device are others each time.
        browser = replace(browser, browser_id=self.asked.browser_id)
        return house.attempt(scheme, "0000-0000", browser, name)

    def hammer(self, scheme: Any) -> int:
        """The same, but for coming a second too early each time."""
        return max(1, self.guess(scheme) - 1)

    def stories(self) -> list[tuple[int, Callable[[], int]]]:
        return [(0, partial(self.guess, scheme)) for scheme in self.house.schemes]


# -- the owner -------------------------------------------------------------------------------------


@dataclass
class Owner:
    """Signs in every day on a known device, mistypes now and then, at times tries a new device."""

    house: House
    cookie: str = ""
    logins: int = 0
    new_devices: list[bool] = field(default_factory=list)
    random: Random = field(default_factory=lambda: Random(7))

    def __post_init__(self) -> None:
        browser = Browser("203.0.113.1", "Firefox", (), new_id())
        outcome = self.house.attempt(self.house.totp, self.house.code(), browser)
        assert outcome.granted is not None
        self.cookie = outcome.granted.device_cookie.value
        self.house.clock.advance(DAY_S)
        self.house.began_at = self.house.now_s

    def known(self) -> Browser:
        # Not always from the same place: it is the cookie that is known.
        address = f"203.0.113.{self.random.randrange(1, 255)}"
        return Browser(address, "Firefox", (self.cookie,), new_id())

    def signs_in(self, scheme: Any, code: str, browser: Browser) -> None:
        outcome = self.house.attempt(scheme, code, browser)
        assert outcome.granted is not None, (outcome, self.house.now_s - self.house.began_at)
        self.cookie = outcome.granted.device_cookie.value
        self.logins += 1

    def every_day(self) -> int:
        house, browser = self.house, self.known()
        for _ in range(self.random.choice([0, 0, 0, 1, 3])):
            wrong = house.wrong_code()
            assert house.attempt(house.totp, wrong, browser).verdict is Verdict.WRONG
        self.signs_in(house.totp, house.code(), browser)
        if house.name == MAILBOX and self.logins % 5 == 0:
            browser = self.known()
            assert house.ask(browser).verdict is Verdict.WRONG
            self.signs_in(house.email, code_in(house.outbox.mails[-1]), browser)
        return DAY_S + self.random.randrange(-HOUR_S, HOUR_S)

    def a_new_device(self) -> int:
        house = self.house
        browser = Browser(f"198.51.100.{len(self.new_devices)}", "Chrome", (), new_id())
        outcome = house.attempt(house.totp, house.code(), browser)
        assert outcome.verdict in (Verdict.ACCEPTED, Verdict.LOCKED)
        self.new_devices.append(outcome.verdict is Verdict.ACCEPTED)
        return 9 * DAY_S + self.random.randrange(DAY_S)

    def stories(self) -> list[tuple[int, Callable[[], int]]]:
        return [(9 * HOUR_S, self.every_day), (5 * DAY_S, self.a_new_device)]


# -- the year --------------------------------------------------------------------------------------


def chance(house: House, guesses: int, mailed: int) -> float:
    """guesses of six digits and of mailed codes that were evaluated -> that one of them is right"""
    right = len(house.codes_that_are_right()) / 10**6
    return 1 - (1 - right) ** guesses * (1 - A_MAILED_CODE) ** mailed


def report(story: str, house: House, owner: Owner | None) -> float:
    guesses, mailed = (len(house.evaluated(scheme)) for scheme in house.schemes)
    found = chance(house, guesses, mailed)
    print(f"\n{story}: in 365 days {guesses} six-digit guesses and {mailed} guesses of a mailed "
          f"code were evaluated; chance of success {found:.4%}", end="")  # fmt: skip
    if owner is not None:
        let_in = f"{sum(owner.new_devices)} of {len(owner.new_devices)}"
        print(f"; the owner: {owner.logins} of {owner.logins} logins from a known device, {let_in} "
              "from new ones", end="")  # fmt: skip
    print()
    return found


@pytest.mark.parametrize("name", [MAILBOX, NO_MAILBOX])
def test_a_year_of_the_best_attack_on_one_account_succeeds_in_less_than_one_of_1000(
    name: str,
) -> None:
    house = House(name)
    assert len(house.codes_that_are_right()) == 3
    owner = Owner(house)
    attacker = Attacker(house, everywhere())
    house.play(*attacker.stories(), *owner.stories())
    assert report(f"Many sources, {name}", house, owner) < PERMITTED
    for scheme in house.schemes:
        times = house.evaluated(scheme)
        assert len(times) == MOST
        assert most_in(times, DAY_S) == 10
        assert most_in(times, MONTH_S) == 25
    assert owner.logins >= 365
    assert len(owner.new_devices) >= 36


def test_two_attackers_gain_nothing_by_working_together_or_by_hammering() -> None:
    house = House(MAILBOX)
    owner = Owner(house)
    one, other = Attacker(house, everywhere()), Attacker(house, everywhere())
    hammering = [(7, partial(other.hammer, scheme)) for scheme in house.schemes]
    house.play(*one.stories(), *hammering, *owner.stories())
    assert report("Two who hammer", house, owner) < PERMITTED
    assert [len(house.evaluated(scheme)) for scheme in house.schemes] == [MOST, MOST]


def test_an_attacker_with_one_source_has_less_than_half_of_that() -> None:
    house = House(MAILBOX)
    owner = Owner(house)
    house.play(*Attacker(house, one_place()).stories(), *owner.stories())
    assert len({client_source(address) for address in islice(one_place(), 9)}) == 1
    assert report("One source", house, owner) < PERMITTED / 2
    for scheme in house.schemes:
        times = house.evaluated(scheme)
        assert len(times) == 13 * 10
        assert most_in(times, DAY_S) == 5
        assert most_in(times, MONTH_S) == 10
    assert all(owner.new_devices), "one source alone shuts nobody out"


def test_three_authenticators_on_an_account_buy_no_more_guesses() -> None:
    house = House(MAILBOX, authenticators=3)
    assert len(house.codes_that_are_right()) == 3
    owner = Owner(house)
    house.play(*Attacker(house, everywhere()).stories(), *owner.stories())
    assert report("Three authenticators", house, owner) < PERMITTED
    assert [len(house.evaluated(scheme)) for scheme in house.schemes] == [MOST, MOST]


# -- mails -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "mails"), [(MAILBOX, 3650), (NO_MAILBOX, 0)])
def test_strangers_cause_ten_mails_a_day_and_the_owner_gets_his(name: str, mails: int) -> None:
    house = House(name)
    owner = Owner(house)
    asked_at: list[int] = []
    addresses, typed = everywhere(), spellings(name)

    def ask(by_code: bool) -> Callable[[], int]:
        def story() -> int:
            while True:
                browser = Browser(next(addresses), "curl", (), new_id())
                if by_code:
                    outcome = house.ask(browser, next(typed))
                    wait_s = outcome.retry_after_s
                else:
                    refused = house.reminder.send(names.check(next(typed)), browser, "/enrol/")
                    wait_s = refused.retry_after_s if refused else 0
                if wait_s:
                    return wait_s
                asked_at.append(house.now_s)

        return story

    def owner_asks() -> int:
        before = len(house.outbox.mails)
        browser = owner.known()
        assert house.ask(browser).verdict is Verdict.WRONG
        if name == MAILBOX:
            owner.signs_in(house.email, code_in(house.outbox.mails[before]), browser)
        return DAY_S

    house.play((0, ask(True)), (0, ask(False)), (8 * HOUR_S, owner_asks))
    posted = len(house.outbox.mails) - owner.logins
    print(f"\nMails that strangers caused in 365 days, {name}: {posted}; the owner's own: "
          f"{owner.logins}")  # fmt: skip
    assert len(asked_at) == 3650
    assert posted == mails
    assert most_in(asked_at, 600) == 3
    assert most_in(asked_at, DAY_S) == 10
