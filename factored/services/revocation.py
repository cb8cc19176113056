"""The revocations that this process knows: asked on every request, re-read every few seconds."""

from __future__ import annotations

import logging
import os
import threading
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
        self._pid = -1
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._revoked: frozenset[str] = frozenset()
        self._read_until: int | None = None
        self._full_read_at = 0.0
        self._first_try = threading.Event()
        self._stop = threading.Event()

    @property
    def ready(self) -> bool:
        if self._pid != os.getpid():
            self._start()
        if self._read_until is None:
            self._first_try.wait(FIRST_READ_WAIT_S)
        return self._read_until is not None

    def revoked(self, ticket: Ticket) -> bool:
        return ticket.ticket_id in self._revoked or ticket.series in self._revoked

    def revoke(self, *values: str) -> None:
        if not values:
            return
        self._store.add(values, for_s=self._keep_s)
        with self._lock:
            self._revoked = self._revoked.union(values)

    def read(self) -> None:
        """-> None; learns what was revoked anywhere

        :raises StoreError: the store did not answer; what was known holds
        """
        # Under the lock, so that what revoke() adds meanwhile is not lost with the old set.
        with self._lock:
            now_s = self._clock.monotonic_s()
            full = self._read_until is None or now_s - self._full_read_at > FULL_READ_S
            since = None if full or self._read_until is None else self._read_until - OVERLAP_S
            store_now, values = self._store.read(since)
            self._revoked = frozenset(values) if full else self._revoked.union(values)
            self._read_until = store_now
            if full:
                self._full_read_at = now_s

    def stop(self) -> None:
        """-> None; ends this process's thread"""
        self._stop.set()

    def _start(self) -> None:
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
        self._reset()
        threading.Thread(
            target=self._follow, args=(self._stop,), name="factored-revocations", daemon=True
        ).start()

    def _follow(self, stop: threading.Event) -> None:
        tidied_at = self._clock.monotonic_s()
        failing = False
        while not stop.is_set():
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
            self._first_try.set()
            stop.wait(REREAD_S)
