"""The suite of :class:`factored.interfaces.DeviceStore`; asks for ``stores.devices`` and users."""

from __future__ import annotations

from typing import Any

import pytest

from factored.codes import new_id
from factored.interfaces import Device
from tests.contract.user_store import add, authenticator
from tests.support import NOW_S


class DeviceStoreContract:
    def test_a_device_is_found_as_stored_by_its_owner_alone(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        device = Device(new_id(), al.id, NOW_S, NOW_S, "Browser ☎ " + "x" * 245, "2001:db8::1%eth0")
        stores.devices.add(device)
        assert stores.devices.find(device.id, al.id) == device
        assert stores.devices.find(device.id, bo.id) is None
        assert stores.devices.find(new_id(), al.id) is None

    def test_a_user_is_found_with_those_of_the_devices_that_are_his(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        one, other, bos = (
            Device(new_id(), user.id, NOW_S, NOW_S, "Browser ☎", "192.0.2.1")
            for user in (al, al, bo)
        )
        for device in (one, other, bos):
            stores.devices.add(device)

        def found(name: str, *devices: Device) -> tuple[Any, set[Device]]:
            ids = [device.id for device in devices]
            user, his = stores.users.find_with_devices(name, [*ids, new_id()])
            assert len(his) == len(set(his))
            return user, set(his)

        assert found("al") == (al, set())
        assert found("al", bos) == (al, set())
        assert found("al", one, bos) == (al, {one})
        assert found("al", one, other, one) == (al, {one, other})
        assert found("bo", one, bos) == (bo, {bos})
        assert found("cy", one, bos) == (None, set())
        assert found("al\0", one) == (None, set())
        assert stores.users.find_with_devices("al", []) == (al, [])
        stores.users.add_pending(authenticator(al.id))
        assert found("al", one, other) == (stores.users.find("al"), {one, other})

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
