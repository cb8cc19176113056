"""Enrolment links: one enrolment each, whoever opened it before and whatever fails meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pyotp
import pytest

from factored.interfaces import Link, StoreError, Stores
from factored.keys import KeyRing
from factored.schemes.totp import first_code
from factored.services.devices import Browser, Devices
from factored.services.enrol_links import EnrolLinks
from factored.services.enrolment import Enrolment
from factored.services.links import Links
from tests.contract.test_stores import memory_stores
from tests.support import NOW_S, FixedClock


class Desk:
    """A user with an authenticator, and an enrolment link."""

    def __init__(self, clock: FixedClock) -> None:
        self.stores = memory_stores()
        ring = KeyRing(lambda: (b"k" * 32,))
        devices = Devices(self.stores.users, self.stores.devices, ring, clock)
        enrolment = Enrolment(ring, clock, first_code, issuer="site")
        self.links = Links(self.stores.links, devices, ring, clock)
        self.enrol_links = EnrolLinks(
            self.stores.users, self.stores.links, enrolment, ring, clock, revoke_for_s=60
        )  # fmt: skip
        self.user = self.stores.users.add(
            "al", "al", ticket_series="series", now_s=NOW_S, authenticator=enrolment.make
        )
        self.token = self.enrol_links.make(self.user, 60)

    def look(self) -> Link:
        link = self.links.look(self.token)
        assert link is not None
        return link

    def enrols(self, link: Link) -> bool:
        shown = self.enrol_links.begin(link)
        code = pyotp.TOTP(shown.secret).at(NOW_S)
        return self.enrol_links.confirm(link, shown.id, code, Browser(""))[1] is not None

    def active(self) -> list[str]:
        user = self.stores.users.get(self.user.id)
        assert user is not None
        return [one.id for one in user.active("ga")]


@pytest.fixture
def desk(clock: FixedClock) -> Desk:
    return Desk(clock)


def test_a_link_enrols_once_for_those_too_who_opened_it_before(desk: Desk) -> None:
    first, second = desk.look(), desk.look()
    old = desk.active()
    assert desk.enrols(first)
    enrolled = desk.active()
    assert enrolled != old
    assert not desk.enrols(second)
    assert desk.active() == enrolled


@pytest.mark.parametrize(
    "dies_at",
    [lambda stores: (stores.links, "spend"), lambda stores: (stores.users, "confirm")],
    ids=["spend", "confirm"],
)
def test_nobody_enrols_with_a_link_that_stays_good_when_the_store_fails(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    dies_at: Callable[[Stores], tuple[object, str]],
) -> None:
    def fails(*what: object, **more: object) -> bool:
        raise StoreError("the database did not answer")

    old, link = desk.active(), desk.look()
    with monkeypatch.context() as patch:
        patch.setattr(*dies_at(desk.stores), fails)
        with pytest.raises(StoreError):
            desk.enrols(link)
    assert desk.active() == old
