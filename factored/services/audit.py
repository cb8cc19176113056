"""One structured event for each login, failure, lockout, enrolment, reset and logout."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone

log = logging.getLogger("factored.audit")


def record(
    event: str, *, result: str, user: str = "", scheme: str = "", source: str = "", reason: str = ""
) -> None:
    """event and its facts -> None; one line of the logger ``factored.audit``

    The facts are in the record as attributes (``factored_user`` and so on) and in the text as
    ``key="value"`` with JSON's escapes, so that no value can forge a line or another key. A name
    without an account is left out: people type codes into the wrong field.
    Source: PROMISES 21; OWASP Logging Cheat Sheet, "Data to exclude".
    """
    facts = {"user": user, "scheme": scheme, "source": source, "result": result, "reason": reason}
    shown = " ".join(f"{key}={json.dumps(value)}" for key, value in facts.items() if value)
    log.info(
        "event=%s %s",
        event,
        shown,
        extra={"factored_event": event, **{f"factored_{key}": fact for key, fact in facts.items()}},
    )


class JsonLines(logging.Formatter):
    """Every record as one line of JSON, for ``[formatter_json] class = ...`` in the ini.

    ``time`` (ISO 8601, UTC), ``level``, ``logger``; then the facts of an audit event, or
    ``message``, and ``exception`` where there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        line = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        facts = {
            name.removeprefix("factored_"): fact
            for name, fact in vars(record).items()
            if name.startswith("factored_") and fact
        }
        line |= facts or {"message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
