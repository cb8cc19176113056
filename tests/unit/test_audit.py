"""Audit events: one line each, that no value can forge."""

from __future__ import annotations

import json
import logging
import re
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factored.services import audit


def recorded(caplog: pytest.LogCaptureFixture, event: str, **facts: str) -> logging.LogRecord:
    """event and facts -> the one record that came of it"""
    caplog.clear()
    with caplog.at_level(logging.INFO, "factored.audit"):
        audit.record(event, result="failure", **facts)
    (found,) = caplog.records
    return found


def test_an_event_is_one_record_with_its_facts_as_attributes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    event = recorded(caplog, "login", user="al", scheme="ga", source="192.0.2.1", reason="wrong")
    assert (event.name, event.levelno) == ("factored.audit", logging.INFO)
    assert event.getMessage() == (
        'event=login user="al" scheme="ga" source="192.0.2.1" result="failure" reason="wrong"'
    )
    found = {key: value for key, value in vars(event).items() if key.startswith("factored_")}
    assert found == {
        "factored_event": "login",
        "factored_user": "al",
        "factored_scheme": "ga",
        "factored_source": "192.0.2.1",
        "factored_result": "failure",
        "factored_reason": "wrong",
    }


def test_facts_that_are_not_known_stay_out_of_the_text(caplog: pytest.LogCaptureFixture) -> None:
    event = recorded(caplog, "login")
    assert event.getMessage() == 'event=login result="failure"'
    assert vars(event)["factored_user"] == ""


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25
)
@given(user=st.text(max_size=20), reason=st.text(max_size=20))
@pytest.mark.parametrize("forged", ['x" result="success', "x\nevent=login", "\u2028", "\\", "%s"])
def test_no_value_can_forge_a_line_or_another_fact(
    caplog: pytest.LogCaptureFixture, forged: str, user: str, reason: str
) -> None:
    line = recorded(caplog, "login", user=forged + user, reason=reason).getMessage()
    assert line.isascii()
    assert line.isprintable()
    pairs = re.findall(r' (\w+)=("(?:[^"\\]|\\.)*")', line)
    assert "event=login" + "".join(f" {key}={text}" for key, text in pairs) == line
    facts = {"user": forged + user, "result": "failure", "reason": reason}
    assert {key: json.loads(text) for key, text in pairs} == {
        key: fact for key, fact in facts.items() if fact
    }


def formatted(record: logging.LogRecord) -> dict[str, str]:
    """a record -> the one line that is made of it, read back"""
    line = audit.JsonLines().format(record)
    assert line.isascii()
    assert line.isprintable()
    read: dict[str, str] = json.loads(line)
    return read


def test_an_event_as_json_has_its_facts_as_members(caplog: pytest.LogCaptureFixture) -> None:
    forged = 'x"}\n{"event": "login"\u2028'
    event = recorded(caplog, "login", user=forged, source="192.0.2.1", reason="wrong")
    event.created = 1_800_000_000.5
    assert formatted(event) == {
        "time": "2027-01-15T08:00:00.500+00:00",
        "level": "INFO",
        "logger": "factored.audit",
        "event": "login",
        "user": forged,
        "source": "192.0.2.1",
        "result": "failure",
        "reason": "wrong",
    }


def test_another_record_as_json_has_its_message_and_its_traceback_on_one_line() -> None:
    try:
        raise ZeroDivisionError("a\nb")
    except ZeroDivisionError:
        error = sys.exc_info()
    record = logging.LogRecord("factored.app", logging.ERROR, "f", 1, "%s!", ("No\nway",), error)
    read = formatted(record)
    assert read["message"] == "No\nway!"
    assert "ZeroDivisionError: a\nb" in read["exception"]
    assert set(read) == {"time", "level", "logger", "message", "exception"}
