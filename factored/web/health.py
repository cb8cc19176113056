"""For load balancers: is the process alive, and can it log people in?"""

from __future__ import annotations

import logging

from pyramid.request import Request
from pyramid.response import Response

from factored.interfaces import StoreError
from factored.web.site import Site

log = logging.getLogger(__name__)


class Health:
    """``/healthz`` and ``/readyz``; nothing secret, and no database for the first."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def healthz(self, request: Request) -> Response:
        """GET -> 200 as long as the process answers"""
        return Response(json_body={"status": "ok"})

    def readyz(self, request: Request) -> Response:
        """GET -> 200 once the revocations are read and the database is up to date, else 503"""
        checks = {
            "revocations": self._site.revocations.ready,
            "database": self._database(),
            "mail": not self._site.sending_fails(),
        }
        ready = all(checks.values())
        return Response(
            json_body={"status": "ready" if ready else "not ready", "checks": checks},
            status=200 if ready else 503,
        )

    def _database(self) -> bool:
        try:
            with self._site.turn:
                self._site.check_store()
            return True
        except StoreError as error:
            log.error("the database is not ready: %s", error)
            return False
