"""The suite of :class:`factored.interfaces.DeviceStore`; asks for ``stores.devices`` and users."""

from __future__ import annotations

from typing import Any

import pytest

from factored.codes import new_id
from factored.interfaces import Device
from tests.contract.user_store import add
from tests.support import NOW_S


class DeviceStoreContract:
    def test_a_device_is_found_as_stored_by_its_owner_alone(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        device = Device(new_id(), al.id, NOW_S, NOW_S, "Browser ☎ " + "x" * 245)
        stores.devices.add(device)
        assert stores.devices.find(device.id, al.id) == device
        assert stores.devices.find(device.id, bo.id) is None
        assert stores.devices.find(new_id(), al.id) is None

    def test_touching_sets_when_that_device_was_last_used(self, stores: Any) -> None:
        al = add(stores, "al")
        one, other = (Device(new_id(), al.id, NOW_S, NOW_S, "") for _ in range(2))
        for device in (one, other):
            stores.devices.add(device)
        stores.devices.touch(one.id, now_s=NOW_S + 5)
        assert stores.devices.find(one.id, al.id).last_used_at == NOW_S + 5
        assert stores.devices.find(one.id, al.id).created_at == NOW_S
        assert stores.devices.find(other.id, al.id) == other

    def test_touching_a_forgotten_device_does_nothing(self, stores: Any) -> None:
        al = add(stores, "al")
        gone = new_id()
        stores.devices.touch(gone, now_s=NOW_S)
        assert stores.devices.find(gone, al.id) is None

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
