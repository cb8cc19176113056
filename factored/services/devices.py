"""Browsers: what is seen of the one that asks, and those that are known by a signed cookie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from factored.codes import new_id
from factored.environ import client_source
from factored.interfaces import Clock, Device, DeviceStore, Ticket, User, UserStore
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
    """What the browser is to keep, and for how many seconds."""

    value: str
    max_age_s: int


class Devices:
    """Makes and recognises known devices; the cookie is bound to one user."""

    def __init__(self, users: UserStore, devices: DeviceStore, keys: KeyRing, clock: Clock) -> None:
        self._users = users
        self._devices = devices
        self._keys = keys
        self._clock = clock

    def visitor(
        self, username_key: str, cookies: Sequence[str]
    ) -> tuple[User | None, Device | None]:
        """username_key, cookie values -> the user, and the Device if one is his and not over

        The store is asked once, whatever the name. Junk ends at the signature, before that.
        """
        owners: dict[str, str] = {}
        for cookie in cookies:
            owner, _, rest = (self._keys.unsign(DEVICE, cookie) or "").partition(".")
            device_id, _, made_at = rest.partition(".")
            if owner and self._clock.now_s() < int(made_at) + KNOWN_FOR_S:
                owners[device_id] = owner
        user, found = self._users.find_with_devices(username_key, list(owners))
        if user is None:
            return None, None
        his = {device.id: device for device in found}
        known = (his.get(one) for one, owner in owners.items() if owner == str(user.id))
        return user, next((device for device in known if device is not None), None)

    def enlist(self, user_id: int, browser: Browser) -> DeviceCookie:
        """user id, browser -> the cookie of a new known device"""
        device = self.new(user_id, browser)
        self._devices.add(device)
        return self.cookie(device)

    def new(self, user_id: int, browser: Browser) -> Device:
        """user id, browser -> a Device that is not stored yet"""
        now_s = int(self._clock.now_s())
        return Device(new_id(), user_id, now_s, now_s, *browser.shown)

    def renewed(self, device: Device, browser: Browser) -> Device:
        """a known device that logs in again -> it as it is now, not stored yet"""
        address = browser.shown[1]
        return replace(device, last_used_at=int(self._clock.now_s()), address=address)

    def cookie(self, device: Device) -> DeviceCookie:
        """a device that was used just now -> its cookie, good for a whole term from now on"""
        message = f"{device.user_id}.{device.id}.{device.last_used_at}"
        return DeviceCookie(self._keys.sign(DEVICE, message), KNOWN_FOR_S)
