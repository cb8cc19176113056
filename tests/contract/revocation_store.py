"""The suite of :class:`factored.interfaces.RevocationStore`; asks for ``stores.revocations``."""

from __future__ import annotations

from typing import Any

from factored.codes import new_id


class RevocationStoreContract:
    def test_what_is_added_is_read_at_once_by_everybody(self, stores: Any) -> None:
        one, other, third = new_id(), new_id(), new_id()
        stores.revocations.add([one, other], for_s=1000)
        assert sorted(stores.revocations.read(None)[1]) == sorted([one, other])
        stores.revocations.add([third], for_s=1000)
        assert sorted(stores.revocations.read(None)[1]) == sorted([one, other, third])

    def test_reading_since_a_moment_includes_that_moment(self, stores: Any) -> None:
        value = new_id()
        before, _ = stores.revocations.read(None)
        stores.revocations.add([value], for_s=1000)
        now, values = stores.revocations.read(before)
        assert values == [value]
        assert stores.revocations.read(now + 1000)[1] == []

    def test_the_stores_time_never_goes_back(self, stores: Any) -> None:
        moments = [stores.revocations.read(None)[0] for _ in range(20)]
        assert moments == sorted(moments)
        assert moments[0] > 0

    def test_what_has_ended_is_neither_read_nor_kept(self, stores: Any) -> None:
        holds = new_id()
        stores.revocations.add([new_id(), new_id()], for_s=0)
        stores.revocations.add([holds], for_s=1000)
        assert stores.revocations.read(None)[1] == [holds]
        assert stores.revocations.prune() == 2
        assert stores.revocations.prune() == 0
        assert stores.revocations.read(None)[1] == [holds]

    def test_revoking_twice_and_revoking_nothing_are_harmless(self, stores: Any) -> None:
        value = new_id()
        stores.revocations.add([], for_s=1000)
        stores.revocations.add([value], for_s=1000)
        stores.revocations.add([value], for_s=1000)
        assert set(stores.revocations.read(None)[1]) == {value}
