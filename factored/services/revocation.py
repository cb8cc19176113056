"""The revocations that this process knows: asked on every request, re-read every few seconds."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence

from factored.interfaces import Clock, RevocationStore, StoreError, Ticket

log = logging.getLogger(__name__)

REREAD_S = 2.0
"""Leaves room in the promised 5 s for a slow answer (PROMISES 12)."""

OVERLAP_S = 120
"""Read again each time, by the store's clock: a row may commit long after its moment was taken."""

FULL_READ_S = 600.0
"""How often everything is read anew, so that what has ended leaves the memory."""

FIRST_READ_WAIT_S = 3.0
"""How long a process's first requests wait for the first read before they are turned away."""


class _Known:
    """What one process knows. A forked child has its own: a copied lock may be held for ever."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.revoked: frozenset[str] = frozenset()
        self.added: frozenset[str] = frozenset()  # here, since the read under way began
        self.read_until: int | None = None
        self.full_read_at = 0.0
        self.thread: threading.Thread | None = None
        self.first_try = threading.Event()
        self.stop = threading.Event()


class RevocationList:
    """:class:`factored.interfaces.Revocations`, kept up to date by a thread of each process.

    The thread starts with the first request, so after any fork. Answering takes no lock: readers
    see one set or the next, each whole.

    :param keep_s: how long a revocation must hold: the longest that a ticket can live
    :param housekeeping: called now and then by the same thread (pruning)
    """

    def __init__(
        self,
        store: RevocationStore,
        clock: Clock,
        *,
        keep_s: int,
        housekeeping: Sequence[Callable[[], object]] = (),
    ) -> None:
        self._store = store
        self._clock = clock
        self._keep_s = keep_s
        self._housekeeping = (store.prune, *housekeeping)
        self._known = _Known()
        here = weakref.ref(self)
        # To look at the process id for each request would cost more than all else asked here.
        os.register_at_fork(after_in_child=lambda: _begin_anew(here()))

    @property
    def ready(self) -> bool:
        known = self._known
        if known.read_until is not None and known.thread is not None:
            return True
        self._follow(known)
        known.first_try.wait(FIRST_READ_WAIT_S)
        return known.read_until is not None

    def revoked(self, ticket: Ticket) -> bool:
        revoked = self._known.revoked
        return ticket.ticket_id in revoked or ticket.series in revoked

    def revoke(self, *values: str) -> None:
        if values:
            self._store.add(values, for_s=self._keep_s)
            self.learn(*values)

    def learn(self, *values: str) -> None:
        known = self._known
        with known.lock:
            known.revoked = known.revoked.union(values)
            known.added = known.added.union(values)

    def read(self) -> None:
        """-> None; learns what was revoked anywhere

        :raises StoreError: the store did not answer; what was known holds
        """
        known = self._known
        now_s = self._clock.monotonic_s()
        since = None
        if known.read_until is not None and now_s - known.full_read_at <= FULL_READ_S:
            since = known.read_until - OVERLAP_S
        with known.lock:
            known.added = frozenset()
        # Not under the lock: a login must not wait for a store that hangs here.
        store_now, values = self._store.read(since)
        with known.lock:
            kept = known.added if since is None else known.revoked
            known.revoked = kept.union(values)
        if since is None:
            known.full_read_at = now_s
        known.read_until = store_now

    def stop(self) -> None:
        """-> None; ends this process's thread"""
        self._known.stop.set()

    def _follow(self, known: _Known) -> None:
        """Starts the thread that reads again and again, once in each process."""
        thread = threading.Thread(
            target=self._keep_reading, args=(known,), name="factored-revocations", daemon=True
        )
        with known.lock:
            if known.thread is None:
                thread.start()
                known.thread = thread

    def _keep_reading(self, known: _Known) -> None:
        tidied_at = self._clock.monotonic_s()
        failing = False
        while not known.stop.is_set():
            try:
                self.read()
                if self._clock.monotonic_s() - tidied_at > FULL_READ_S:
                    tidied_at = self._clock.monotonic_s()
                    for tidy in self._housekeeping:
                        tidy()
                if failing:
                    log.warning("revocations are read again")
                failing = False
            except StoreError as error:
                if not failing:
                    log.error("revocations cannot be read, those known hold: %s", error)
                failing = True
            except Exception:
                log.exception("reading revocations failed; it is tried again")
            known.first_try.set()
            known.stop.wait(REREAD_S)


def _begin_anew(of: RevocationList | None) -> None:
    if of is not None:
        of._known = _Known()
