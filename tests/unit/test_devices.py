"""Known devices: told by a signed cookie that is bound to one user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factored import keys
from factored.interfaces import Device, User
from factored.keys import KeyRing
from factored.services.devices import KNOWN_FOR_S, Browser, DeviceCookie, Devices
from factored.store.memory_users import MemoryDeviceStore
from tests.support import NOW_S, FixedClock

AL = User(1, "al", "al", "series", NOW_S)
BOB = User(11, "bob", "bob", "series", NOW_S)
FIREFOX = Browser("192.0.2.1", "Browser/1")
NOBODY = Browser("")
RING = KeyRing(lambda: (b"k" * 32,))


class FakeStore(MemoryDeviceStore):
    """Devices, and who they are of; knows what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []

    def find_with_devices(
        self, username_key: str, device_ids: Sequence[str]
    ) -> tuple[User | None, list[Device]]:
        self.asked.append(list(device_ids))
        user = next((one for one in (AL, BOB) if one.username_key == username_key), None)
        found = (self.find(one, user.id) for one in device_ids if user is not None)
        return user, [device for device in found if device is not None]


@dataclass
class Shelf:
    store: FakeStore
    clock: FixedClock
    ring: KeyRing = RING

    @property
    def devices(self) -> Devices:
        users: Any = self.store
        return Devices(users, self.store, self.ring, self.clock)

    def known(self, cookies: Sequence[str], user: User) -> Device | None:
        found, device = self.devices.visitor(user.username_key, cookies)
        assert found == user
        return device


@pytest.fixture
def shelf(clock: FixedClock) -> Shelf:
    return Shelf(FakeStore(), clock)


def test_a_browser_is_known_again_by_its_cookie(shelf: Shelf) -> None:
    cookie = shelf.devices.enlist(AL.id, FIREFOX)
    assert cookie.max_age_s == 400 * 86400
    device = shelf.known([cookie.value], AL)
    assert device is not None
    assert device == Device(device.id, AL.id, NOW_S, NOW_S, "Browser/1", "192.0.2.1")
    assert shelf.devices.enlist(AL.id, FIREFOX).value != cookie.value


def test_a_cookie_is_of_no_use_for_anybody_else(shelf: Shelf) -> None:
    cookie = shelf.devices.enlist(AL.id, FIREFOX)
    assert shelf.known([cookie.value], BOB) is None
    assert shelf.devices.visitor("nobody", [cookie.value]) == (None, None)
    # As long for one name as for any other: the store is asked the same.
    assert shelf.store.asked == [[cookie.value.split(".")[1]]] * 2


def test_a_store_that_finds_too_much_makes_nobody_a_known_device(shelf: Shelf) -> None:
    cookie = shelf.devices.enlist(AL.id, FIREFOX)
    als = shelf.store.of(AL.id)
    shelf.store.find_with_devices = lambda key, ids: (BOB, als)  # type: ignore[method-assign]
    assert shelf.known([cookie.value], BOB) is None


def test_a_forgotten_device_is_unknown(shelf: Shelf) -> None:
    value = RING.sign(keys.DEVICE, f"{AL.id}.gone.{NOW_S}")
    assert shelf.known([value], AL) is None
    assert shelf.store.asked == [["gone"]]


def test_a_device_id_of_another_user_is_not_taken_from_the_store(shelf: Shelf) -> None:
    bobs = shelf.known([shelf.devices.enlist(BOB.id, NOBODY).value], BOB)
    assert bobs is not None
    value = RING.sign(keys.DEVICE, f"{AL.id}.{bobs.id}.{NOW_S}")
    assert shelf.known([value], AL) is None


@pytest.mark.parametrize(("offset_s", "known"), [(-1, True), (0, False), (1, False)])
def test_a_device_is_known_for_400_days(shelf: Shelf, offset_s: int, known: bool) -> None:
    cookie = shelf.devices.enlist(AL.id, FIREFOX)
    shelf.clock.advance(KNOWN_FOR_S + offset_s)
    assert (shelf.known([cookie.value], AL) is not None) is known


def renewed(shelf: Shelf, device: Device) -> DeviceCookie:
    """-> the cookie that a login on a known device gives, once it is stored"""
    now = shelf.devices.renewed(device, NOBODY)
    shelf.store.touch(now)
    return shelf.devices.cookie(now)


def test_a_login_renews_the_term_of_the_same_device(shelf: Shelf) -> None:
    first = shelf.devices.enlist(AL.id, FIREFOX)
    device = shelf.known([first.value], AL)
    assert device is not None
    shelf.clock.advance(KNOWN_FOR_S - 1)
    second = renewed(shelf, device)
    assert second.max_age_s == KNOWN_FOR_S
    shelf.clock.advance(KNOWN_FOR_S - 1)
    assert shelf.known([first.value], AL) is None
    found = shelf.known([second.value], AL)
    assert found is not None
    assert (found.id, found.created_at) == (device.id, NOW_S)
    assert found.last_used_at == NOW_S + KNOWN_FOR_S - 1


def test_planted_copies_do_not_hide_the_good_cookie(shelf: Shelf) -> None:
    good = shelf.devices.enlist(AL.id, NOBODY).value
    bobs = shelf.devices.enlist(BOB.id, NOBODY).value
    over = RING.sign(keys.DEVICE, f"{AL.id}.x.{NOW_S - KNOWN_FOR_S}")
    assert shelf.known(["junk", "", bobs, over, good], AL) is not None
    assert shelf.store.asked == [[one.split(".")[1] for one in (bobs, good)]]
    assert shelf.known([], AL) is None


@pytest.mark.parametrize("purpose", [keys.BROWSER, keys.CSRF, keys.LINK, keys.SECRET])
def test_a_value_signed_for_another_purpose_is_no_device(shelf: Shelf, purpose: str) -> None:
    cookie = shelf.devices.enlist(AL.id, NOBODY)
    message = RING.unsign(keys.DEVICE, cookie.value)
    assert message is not None
    assert shelf.known([RING.sign(purpose, message)], AL) is None


def test_an_old_key_still_knows_the_device_and_the_newest_renews_it(clock: FixedClock) -> None:
    store = FakeStore()
    cookie = Shelf(store, clock, KeyRing(lambda: (b"o" * 32,))).devices.enlist(AL.id, NOBODY)
    after = Shelf(store, clock, KeyRing(lambda: (b"n" * 32, b"o" * 32)))
    device = after.known([cookie.value], AL)
    assert device is not None
    only_new = Shelf(store, clock, KeyRing(lambda: (b"n" * 32,)))
    assert only_new.known([cookie.value], AL) is None
    assert only_new.known([renewed(after, device).value], AL) is not None


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=3))
def test_junk_ends_at_the_signature_before_the_store_is_asked(
    shelf: Shelf, junk: list[str]
) -> None:
    assert shelf.known([*junk, *(f"1.x.{NOW_S}.{one}" for one in junk)], AL) is None
    assert not any(shelf.store.asked)


@pytest.mark.parametrize("place", [0, 2, 10, 30, -1])
def test_an_altered_cookie_is_refused(shelf: Shelf, place: int) -> None:
    value = list(shelf.devices.enlist(AL.id, NOBODY).value)
    value[place] = "A" if value[place] != "A" else "B"
    assert shelf.known(["".join(value)], AL) is None
    assert shelf.store.asked == [[]]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("", ""), ("a\r\nb\x00\x1bc", "abc"), ("x" * 254, "x" * 254), ("x" * 255, "x" * 255),
     ("x" * 256, "x" * 255), ("\x00" * 300 + "y", "y")],
)  # fmt: skip
def test_the_user_agent_is_kept_short_and_printable(shelf: Shelf, sent: str, kept: str) -> None:
    device = shelf.known([shelf.devices.enlist(AL.id, Browser("192.0.2.1", sent)).value], AL)
    assert device is not None
    assert device.user_agent == kept
