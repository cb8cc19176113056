"""One-time links: looked at as often as one likes, pressed once."""

from __future__ import annotations

from factored.codes import new_link_token
from factored.interfaces import Clock, Link, LinkKind, LinkStore
from factored.keys import LINK, KeyRing
from factored.services import audit
from factored.services.devices import Browser, DeviceCookie, Devices


def new_link(
    links: LinkStore, keys: KeyRing, clock: Clock, kind: LinkKind, user_id: int, for_s: int
) -> str:
    """store, what the link does, user id, seconds -> token; the store has its keyed hash alone"""
    token = new_link_token()
    now_s = int(clock.now_s())
    links.add(kind, user_id, keys.mac(LINK, token), now_s=now_s, ends_at=now_s + for_s)
    return token


class Links:
    """Finds links by their token, and presses them."""

    def __init__(self, links: LinkStore, devices: Devices, keys: KeyRing, clock: Clock) -> None:
        self._links = links
        self._devices = devices
        self._keys = keys
        self._clock = clock

    def look(self, token: str) -> Link | None:
        """token -> its Link if it can still be pressed; changes nothing"""
        return self._links.find(self._keys.macs(LINK, token), now_s=int(self._clock.now_s()))

    def unlock(self, link: Link, browser: Browser) -> DeviceCookie | None:
        """an unlock link -> the cookie that makes this browser a known device, or None: spent

        Of two presses at once, one gets a cookie.
        """
        # The device first: if what follows fails, nobody has its cookie, and the link is unspent.
        cookie = self._devices.enlist(link.user_id, browser)
        if not self._links.spend(link.id, now_s=int(self._clock.now_s())):
            return None
        audit.record(
            "unlock", result="success", user=link.username, source=browser.source,
            reason="link pressed",
        )  # fmt: skip
        return cookie
