"""Browsers: what is seen of the one that asks, and those that are known by a signed cookie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from factored.codes import new_id
from factored.environ import client_source
from factored.interfaces import Clock, Device, DeviceStore, Ticket, User
from factored.keys import DEVICE, KeyRing

KNOWN_FOR_S = 400 * 86400
"""The longest that browsers keep a cookie (RFC 6265bis section 5.5)."""

USER_AGENT_LENGTH = 255

ADDRESS_LENGTH = 64


@dataclass(frozen=True)
class Browser:
    """Who asks: address and User-Agent as sent, its device cookies, the good tickets it showed."""

    address: str
    user_agent: str = ""
    device_cookies: tuple[str, ...] = ()
    browser_id: str = ""
    tickets: tuple[Ticket, ...] = ()

    @property
    def source(self) -> str:
        """-> the network that its attempts are counted for"""
        return client_source(self.address)

    @property
    def shown(self) -> tuple[str, str]:
        """-> User-Agent and address as they are kept to be shown: no controls, not too long"""
        kept = (
            "".join(char for char in text if char.isprintable())
            for text in (self.user_agent, self.address)
        )
        user_agent, address = kept
        return user_agent[:USER_AGENT_LENGTH], address[:ADDRESS_LENGTH]


@dataclass(frozen=True)
class DeviceCookie:
    """What the browser is to keep, and for how many seconds; ``device_id`` is the known device."""

    value: str
    max_age_s: int
    device_id: str


class Devices:
    """Makes and recognises known devices; the cookie is bound to one user."""

    def __init__(self, devices: DeviceStore, keys: KeyRing, clock: Clock) -> None:
        self._devices = devices
        self._keys = keys
        self._clock = clock

    def known(self, cookies: Sequence[str], user: User | None) -> Device | None:
        """cookie values, user -> the Device, if one is this user's and not over

        Junk and other people's cookies end at the signature, before the store is asked.
        """
        if user is None:
            return None
        for cookie in cookies:
            owner, _, rest = (self._keys.unsign(DEVICE, cookie) or "").partition(".")
            device_id, _, made_at = rest.partition(".")
            if owner == str(user.id) and self._clock.now_s() < int(made_at) + KNOWN_FOR_S:
                device = self._devices.find(device_id, user.id)
                if device is not None:
                    return device
        return None

    def enlist(self, user_id: int, browser: Browser) -> DeviceCookie:
        """user id, browser -> the cookie of a new known device"""
        now_s = int(self._clock.now_s())
        device = Device(new_id(), user_id, now_s, now_s, *browser.shown)
        self._devices.add(device)
        return self._cookie(device, now_s)

    def renew(self, device: Device, browser: Browser) -> DeviceCookie:
        """a device that logged in again, as it is now -> its cookie, good for another term"""
        now_s = int(self._clock.now_s())
        self._devices.touch(device.id, address=browser.shown[1], now_s=now_s)
        return self._cookie(device, now_s)

    def _cookie(self, device: Device, now_s: int) -> DeviceCookie:
        value = self._keys.sign(DEVICE, f"{device.user_id}.{device.id}.{now_s}")
        return DeviceCookie(value, KNOWN_FOR_S, device.id)
