"""Known devices: browsers that logged in as a user before, told by a signed cookie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from factored.codes import new_id
from factored.interfaces import Clock, Device, DeviceStore, User
from factored.keys import DEVICE, KeyRing

KNOWN_FOR_S = 400 * 86400
"""The longest that browsers keep a cookie (RFC 6265bis section 5.5)."""

USER_AGENT_LENGTH = 255


@dataclass(frozen=True)
class DeviceCookie:
    """What the browser is to keep, and for how many seconds."""

    value: str
    max_age_s: int


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

    def enlist(self, user_id: int, user_agent: str) -> DeviceCookie:
        """user id, User-Agent -> the cookie of a new known device"""
        now_s = int(self._clock.now_s())
        shown = "".join(char for char in user_agent if char.isprintable())[:USER_AGENT_LENGTH]
        device = Device(new_id(), user_id, now_s, now_s, shown)
        self._devices.add(device)
        return self._cookie(device, now_s)

    def renew(self, device: Device) -> DeviceCookie:
        """a device that logged in again -> its cookie, good for another term"""
        now_s = int(self._clock.now_s())
        self._devices.touch(device.id, now_s=now_s)
        return self._cookie(device, now_s)

    def _cookie(self, device: Device, now_s: int) -> DeviceCookie:
        value = self._keys.sign(DEVICE, f"{device.user_id}.{device.id}.{now_s}")
        return DeviceCookie(value, KNOWN_FOR_S)
