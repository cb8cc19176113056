"""Known devices: told by a signed cookie that is bound to one user."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factored import keys
from factored.interfaces import Device, User
from factored.keys import KeyRing
from factored.services.devices import KNOWN_FOR_S, Browser, Devices
from tests.support import NOW_S, FixedClock

AL = User(1, "al", "al", "series", NOW_S)
BOB = User(11, "bob", "bob", "series", NOW_S)
FIREFOX = Browser("192.0.2.1", "Browser/1")
NOBODY = Browser("")
RING = KeyRing(lambda: (b"k" * 32,))


class FakeStore:
    """Devices in a dict; knows how often it was asked for one."""

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        self.asked = 0

    def add(self, device: Device) -> None:
        self.devices[device.id] = device

    def find(self, device_id: str, user_id: int) -> Device | None:
        self.asked += 1
        device = self.devices.get(device_id)
        return device if device is not None and device.user_id == user_id else None

    def touch(self, device_id: str, *, address: str, now_s: int) -> None:
        changed = replace(self.devices[device_id], last_used_at=now_s, address=address)
        self.devices[device_id] = changed

    def of(self, user_id: int) -> list[Device]:
        raise NotImplementedError

    def forget(self, device_id: str, user_id: int) -> bool:
        raise NotImplementedError

    def prune(self, *, unused_since: int) -> int:
        raise NotImplementedError


@dataclass
class Shelf:
    devices: Devices
    store: FakeStore
    clock: FixedClock


@pytest.fixture
def shelf(clock: FixedClock) -> Shelf:
    store = FakeStore()
    return Shelf(Devices(store, RING, clock), store, clock)


def test_a_browser_is_known_again_by_its_cookie(shelf: Shelf) -> None:
    cookie = shelf.devices.enlist(AL.id, FIREFOX)
    assert cookie.max_age_s == 400 * 86400
    device = shelf.devices.known([cookie.value], AL)
    assert device is not None
    assert device == Device(device.id, AL.id, NOW_S, NOW_S, "Browser/1", "192.0.2.1")
    assert shelf.devices.enlist(AL.id, FIREFOX).value != cookie.value


def test_a_cookie_is_of_no_use_for_anybody_else(shelf: Shelf) -> None:
    cookie = shelf.devices.enlist(AL.id, FIREFOX)
    assert shelf.devices.known([cookie.value], BOB) is None
    assert shelf.devices.known([cookie.value], None) is None
    assert shelf.store.asked == 0


def test_a_forgotten_device_is_unknown(shelf: Shelf) -> None:
    value = RING.sign(keys.DEVICE, f"{AL.id}.gone.{NOW_S}")
    assert shelf.devices.known([value], AL) is None
    assert shelf.store.asked == 1


def test_a_device_id_of_another_user_is_not_taken_from_the_store(shelf: Shelf) -> None:
    bobs = shelf.devices.known([shelf.devices.enlist(BOB.id, NOBODY).value], BOB)
    assert bobs is not None
    value = RING.sign(keys.DEVICE, f"{AL.id}.{bobs.id}.{NOW_S}")
    assert shelf.devices.known([value], AL) is None


@pytest.mark.parametrize(("offset_s", "known"), [(-1, True), (0, False), (1, False)])
def test_a_device_is_known_for_400_days(shelf: Shelf, offset_s: int, known: bool) -> None:
    cookie = shelf.devices.enlist(AL.id, FIREFOX)
    shelf.clock.advance(KNOWN_FOR_S + offset_s)
    assert (shelf.devices.known([cookie.value], AL) is not None) is known


def test_a_login_renews_the_term_of_the_same_device(shelf: Shelf) -> None:
    first = shelf.devices.enlist(AL.id, FIREFOX)
    device = shelf.devices.known([first.value], AL)
    assert device is not None
    shelf.clock.advance(KNOWN_FOR_S - 1)
    second = shelf.devices.renew(device, NOBODY)
    assert second.max_age_s == KNOWN_FOR_S
    shelf.clock.advance(KNOWN_FOR_S - 1)
    assert shelf.devices.known([first.value], AL) is None
    found = shelf.devices.known([second.value], AL)
    assert found is not None
    assert (found.id, found.created_at) == (device.id, NOW_S)
    assert found.last_used_at == NOW_S + KNOWN_FOR_S - 1


def test_planted_copies_do_not_hide_the_good_cookie(shelf: Shelf) -> None:
    good = shelf.devices.enlist(AL.id, NOBODY).value
    bobs = shelf.devices.enlist(BOB.id, NOBODY).value
    over = RING.sign(keys.DEVICE, f"{AL.id}.x.{NOW_S - KNOWN_FOR_S}")
    assert shelf.devices.known(["junk", "", bobs, over, good], AL) is not None
    assert shelf.store.asked == 1
    assert shelf.devices.known([], AL) is None


@pytest.mark.parametrize("purpose", [keys.BROWSER, keys.CSRF, keys.LINK, keys.SECRET])
def test_a_value_signed_for_another_purpose_is_no_device(shelf: Shelf, purpose: str) -> None:
    cookie = shelf.devices.enlist(AL.id, NOBODY)
    message = RING.unsign(keys.DEVICE, cookie.value)
    assert message is not None
    assert shelf.devices.known([RING.sign(purpose, message)], AL) is None


def test_an_old_key_still_knows_the_device_and_the_newest_renews_it(clock: FixedClock) -> None:
    store = FakeStore()
    cookie = Devices(store, KeyRing(lambda: (b"o" * 32,)), clock).enlist(AL.id, NOBODY)
    after = Devices(store, KeyRing(lambda: (b"n" * 32, b"o" * 32)), clock)
    device = after.known([cookie.value], AL)
    assert device is not None
    only_new = Devices(store, KeyRing(lambda: (b"n" * 32,)), clock)
    assert only_new.known([cookie.value], AL) is None
    assert only_new.known([after.renew(device, NOBODY).value], AL) is not None


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=3))
def test_junk_ends_at_the_signature_before_the_store_is_asked(
    shelf: Shelf, junk: list[str]
) -> None:
    assert shelf.devices.known([*junk, *(f"1.x.{NOW_S}.{one}" for one in junk)], AL) is None
    assert shelf.store.asked == 0


@pytest.mark.parametrize("place", [0, 2, 10, 30, -1])
def test_an_altered_cookie_is_refused(shelf: Shelf, place: int) -> None:
    value = list(shelf.devices.enlist(AL.id, NOBODY).value)
    value[place] = "A" if value[place] != "A" else "B"
    assert shelf.devices.known(["".join(value)], AL) is None
    assert shelf.store.asked == 0


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("", ""), ("a\r\nb\x00\x1bc", "abc"), ("x" * 254, "x" * 254), ("x" * 255, "x" * 255),
     ("x" * 256, "x" * 255), ("\x00" * 300 + "y", "y")],
)  # fmt: skip
def test_the_user_agent_is_kept_short_and_printable(shelf: Shelf, sent: str, kept: str) -> None:
    device = shelf.devices.known(
        [shelf.devices.enlist(AL.id, Browser("192.0.2.1", sent)).value], AL
    )
    assert device is not None
    assert device.user_agent == kept
