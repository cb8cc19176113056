"""The filter in docs/ finds the sources of failures in real lines, and nobody else."""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from factored.services import audit

from .servers import program

FILTER = Path(__file__).parents[2] / "docs" / "fail2ban" / "factored.conf"


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    """What the audit logger writes in this test, in the format of production.ini."""
    path = tmp_path / "factored.log"
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-5.5s [%(name)s] %(message)s"))
    logger = logging.getLogger("factored.audit")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield path
    logger.removeHandler(handler)
    logger.setLevel(level)
    handler.close()


def banned(log_file: Path) -> list[str]:
    """log -> the addresses that the filter finds in it, in order"""
    command = [program("fail2ban-regex"), "--print-all-matched", "--print-no-missed", "-v"]
    done = subprocess.run(
        [*command, str(log_file), str(FILTER)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return re.findall(r"^\|      (\S+)  \w{3} \w{3}", done.stdout, re.MULTILINE)


def test_every_failure_and_lockout_of_an_address_is_found(log_file: Path) -> None:
    facts = {"result": "failure", "scheme": "ga", "source": "192.0.2.7"}
    audit.record("login", reason="wrong", user="al@example.com", **facts)
    audit.record("login", reason="unknown_user", **facts)
    audit.record("lockout", reason="locked", user="Zoë", **facts)
    audit.record("login", reason="wrong", **facts | {"source": "2001:db8:1:2::/64"})
    assert banned(log_file) == ["192.0.2.7"] * 3 + ["2001:db8:1:2::/64"]


def test_nobody_else_is(log_file: Path) -> None:
    audit.record("login", result="success", user="al", source="192.0.2.1")
    audit.record("logout", result="success", user="al", source="192.0.2.2")
    audit.record("login", result="failure", user="al", source="unix", reason="wrong")
    logging.getLogger("factored.audit").info(
        "a page failed: event=logins source=192.0.2.3 result=failure"
    )
    assert banned(log_file) == []


@pytest.mark.parametrize(
    "name",
    [
        'x" source="192.0.2.9" result="failure"',
        '" source="192.0.2.9" result="failure" reason="wrong',
        'x\nevent=login source="192.0.2.9" result="failure"',
        "x\\",
    ],
)
def test_a_name_cannot_ban_somebody_else(log_file: Path, name: str) -> None:
    audit.record("login", result="failure", user=name, source="192.0.2.7", reason="wrong")
    audit.record("login", result="success", user=name, source="192.0.2.8")
    assert banned(log_file) == ["192.0.2.7"]
