"""The suite of :class:`factored.interfaces.DeviceStore`; asks for ``stores.devices`` and users."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from factored.codes import new_id
from factored.interfaces import Device
from tests.contract.user_store import add
from tests.support import NOW_S


class DeviceStoreContract:
    def test_a_device_is_found_as_stored_by_its_owner_alone(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        device = Device(new_id(), al.id, NOW_S, NOW_S, "Browser ☎ " + "x" * 245, "2001:db8::1%eth0")
        stores.devices.add(device)
        assert stores.devices.find(device.id, al.id) == device
        assert stores.devices.find(device.id, bo.id) is None
        assert stores.devices.find(new_id(), al.id) is None

    def test_touching_sets_when_that_device_was_last_used(self, stores: Any) -> None:
        al = add(stores, "al")
        one, other = (Device(new_id(), al.id, NOW_S, NOW_S, "") for _ in range(2))
        for device in (one, other):
            stores.devices.add(device)
        stores.devices.touch(one.id, address="192.0.2.9", now_s=NOW_S + 5)
        touched = replace(one, last_used_at=NOW_S + 5, address="192.0.2.9")
        assert stores.devices.find(one.id, al.id) == touched
        assert stores.devices.find(other.id, al.id) == other

    def test_touching_a_forgotten_device_does_nothing(self, stores: Any) -> None:
        al = add(stores, "al")
        gone = new_id()
        stores.devices.touch(gone, address="", now_s=NOW_S)
        assert stores.devices.find(gone, al.id) is None

    def test_a_user_sees_the_own_devices_the_last_used_first(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        old, new = (Device(new_id(), al.id, NOW_S, NOW_S + used, "") for used in (1, 2))
        for device in (old, new, Device(new_id(), bo.id, NOW_S, NOW_S, "")):
            stores.devices.add(device)
        assert stores.devices.of(al.id) == [new, old]

    def test_a_device_is_forgotten_by_its_owner_alone_and_once(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        kept, gone = (Device(new_id(), al.id, NOW_S, NOW_S, "") for _ in range(2))
        for device in (kept, gone):
            stores.devices.add(device)
        assert not stores.devices.forget(gone.id, bo.id)
        assert stores.devices.forget(gone.id, al.id)
        assert not stores.devices.forget(gone.id, al.id)
        assert stores.devices.of(al.id) == [kept]

    @pytest.mark.parametrize(("later_s", "gone"), [(9, 0), (10, 0), (11, 1), (21, 2)])
    def test_pruning_deletes_what_was_not_used_since_and_tells_how_much(
        self, stores: Any, later_s: int, gone: int
    ) -> None:
        al = add(stores, "al")
        devices = [Device(new_id(), al.id, NOW_S, NOW_S + used_s, "") for used_s in (20, 10)]
        for device in devices:
            stores.devices.add(device)
        assert stores.devices.prune(unused_since=NOW_S + later_s) == gone
        left = [stores.devices.find(device.id, al.id) for device in devices]
        assert [device is None for device in left] == [gone == 2, gone >= 1]
