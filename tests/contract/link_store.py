"""The suite of :class:`factored.interfaces.LinkStore`; asks for ``stores.links`` and users."""

from __future__ import annotations

from typing import Any

import pytest

from factored.interfaces import LinkKind
from tests.contract.user_store import add
from tests.support import NOW_S, at_once

ENDS_AT = NOW_S + 60


class LinkStoreContract:
    @pytest.fixture
    def user_id(self, stores: Any) -> int:
        user_id = add(stores, "Al").id
        for token_hash in ("hash", "other"):
            stores.links.add(LinkKind.UNLOCK, user_id, token_hash, now_s=NOW_S, ends_at=ENDS_AT)
        return user_id

    def test_a_link_is_found_by_its_hash_under_any_key_and_names_the_account(
        self, stores: Any, user_id: int
    ) -> None:
        link = stores.links.find(["under the new key", "hash"], now_s=NOW_S)
        assert (link.kind, link.user_id, link.username) == (LinkKind.UNLOCK, user_id, "Al")
        assert (link.ends_at, link.return_to) == (ENDS_AT, "")
        assert stores.links.find(["other"], now_s=NOW_S).id != link.id

    @pytest.mark.parametrize("hashes", [[], ["HASH"], ["hash "], ["has"], ["", "%"]])
    def test_no_link_is_found_by_another_hash(
        self, stores: Any, user_id: int, hashes: list[str]
    ) -> None:
        assert stores.links.find(hashes, now_s=NOW_S) is None

    @pytest.mark.parametrize(("later_s", "good"), [(59, True), (60, False), (61, False)])
    def test_a_link_ends_when_its_time_is_over(
        self, stores: Any, user_id: int, later_s: int, good: bool
    ) -> None:
        link = stores.links.find(["hash"], now_s=NOW_S)
        assert (stores.links.find(["hash"], now_s=NOW_S + later_s) is not None) is good
        assert stores.links.spend(link.id, now_s=NOW_S + later_s) is good

    def test_a_link_is_looked_at_often_and_spent_once(self, stores: Any, user_id: int) -> None:
        links = [stores.links.find(["hash"], now_s=NOW_S) for _ in range(3)]
        assert links[0] == links[1] == links[2]
        assert stores.links.spend(links[0].id, now_s=NOW_S) is True
        assert stores.links.spend(links[0].id, now_s=NOW_S) is False
        assert stores.links.find(["hash"], now_s=NOW_S) is None
        assert stores.links.find(["other"], now_s=NOW_S) is not None

    @pytest.mark.parametrize("kind", [LinkKind.ENROL, None])
    def test_a_users_links_of_one_kind_or_all_may_end(
        self, stores: Any, user_id: int, kind: LinkKind | None
    ) -> None:
        bo = add(stores, "Bo").id
        for owner, token_hash in ((user_id, "enrol"), (bo, "of bo")):
            stores.links.add(LinkKind.ENROL, owner, token_hash, now_s=NOW_S, ends_at=ENDS_AT)
        stores.links.end(user_id, kind)
        stores.links.end(user_id, kind)
        assert stores.links.find(["enrol"], now_s=NOW_S) is None
        assert (stores.links.find(["hash"], now_s=NOW_S) is None) is (kind is None)
        assert stores.links.find(["of bo"], now_s=NOW_S) is not None

    def test_a_link_that_never_was_cannot_be_spent(self, stores: Any, user_id: int) -> None:
        assert stores.links.spend(987654, now_s=NOW_S) is False

    def test_of_many_that_spend_one_link_at_once_one_succeeds(
        self, stores: Any, user_id: int
    ) -> None:
        link = stores.links.find(["hash"], now_s=NOW_S)
        spent = at_once(20, lambda number: stores.links.spend(link.id, now_s=NOW_S))
        assert spent.count(True) == 1

    @pytest.mark.parametrize(("later_s", "gone"), [(59, 0), (60, 2), (61, 2)])
    def test_pruning_deletes_what_is_over_and_tells_how_much(
        self, stores: Any, user_id: int, later_s: int, gone: int
    ) -> None:
        stores.links.add(LinkKind.UNLOCK, user_id, "lasts", now_s=NOW_S, ends_at=NOW_S + 100)
        kept = stores.links.find(["lasts"], now_s=NOW_S)
        assert stores.links.prune(now_s=NOW_S + later_s) == gone
        assert stores.links.prune(now_s=NOW_S + later_s) == 0
        assert stores.links.find(["lasts"], now_s=NOW_S) == kept
        assert (stores.links.find(["hash"], now_s=NOW_S) is None) is bool(gone)
        stores.links.add(LinkKind.UNLOCK, user_id, "new", now_s=NOW_S, ends_at=ENDS_AT)
        assert stores.links.find(["new"], now_s=NOW_S).id != kept.id
