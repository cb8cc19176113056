"""Readers of tickets, each asked the same way: the gate, and ``auth_tkt.lua`` under luajit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from factored.auth_tkt import TicketFormat
from factored.gate import Gate
from factored.interfaces import Ticket
from factored.settings import Settings
from tests.support import FixedClock, Recorder
from tests.support_programs import require_program
from tests.vectors.tickets import Found

ROOT = Path(__file__).parents[2]
LUA = ROOT / "web-servers" / "lua"


class Asked(NamedTuple):
    """One request: which reader, when, from where, and the Cookie header, byte for character."""

    reader: str
    now_s: int
    address: str
    header: str


class _NothingRevoked:
    ready = True

    def revoked(self, ticket: Ticket) -> bool:
        return False

    def revoke(self, *values: str) -> None:
        raise AssertionError("nobody asks for it here")


class GateReader:
    """The gate itself, before a downstream that keeps what it was told.

    :param readers: name -> what :class:`tests.vectors.tickets.Reader` holds
    """

    def __init__(self, readers: Mapping[str, Mapping[str, Any]]) -> None:
        self._clock = FixedClock()
        self._downstream = Recorder()
        self._gates = {name: self._gate(reader) for name, reader in readers.items()}

    def _gate(self, reader: Mapping[str, Any]) -> Gate:
        secrets = tuple(reader["secrets"])
        tickets = TicketFormat(
            lambda: secrets, hashalg=reader["hashalg"], schemes=reader["schemes"]
        )
        settings = Settings(
            key_file=Path("unused"), sqlalchemy={}, include_ip=reader["include_ip"],
            auth_absolute_timeout=reader["absolute_timeout_s"],
        )  # fmt: skip
        return Gate(
            settings, downstream=self._downstream, auth_app=self._downstream, tickets=tickets,
            revocations=_NothingRevoked(), clock=self._clock,
        )  # fmt: skip

    def read(self, asked: Sequence[Asked]) -> list[Found]:
        """requests -> what each is let in as"""
        return [self._read(one) for one in asked]

    def _read(self, one: Asked) -> Found:
        self._clock.time_s = one.now_s
        self._downstream.seen.clear()
        environ = {
            "REQUEST_METHOD": "POST", "PATH_INFO": "/", "HTTP_COOKIE": one.header,
            "REMOTE_ADDR": one.address,
        }  # fmt: skip
        answer = self._gates[one.reader](environ, lambda status, headers, exc_info=None: print)
        assert list(answer)
        if not self._downstream.seen:
            return None
        (seen,) = self._downstream.seen
        ticket = seen["factored.ticket"]
        assert seen["REMOTE_USER"].encode("latin-1").decode() == ticket.user
        return ticket.user, ticket.scheme


class LuaReader:
    """``auth_tkt.lua``, one luajit for all that is asked.

    :param folder: for its secret files
    :raises pytest.skip.Exception: luajit is not there
    """

    def __init__(
        self, folder: Path, readers: Mapping[str, Mapping[str, Any]], lua: Path = LUA
    ) -> None:
        self._argv = [require_program("luajit"), str(ROOT / "tests/vectors/read.lua"), str(lua)]
        self._readers = folder / "readers.lua"
        tables = []
        for number, (name, reader) in enumerate(readers.items()):
            secret_file = folder / f"{number}.secret"
            secret_file.write_text("\n# the newest first\n" + "\n".join(reader["secrets"]) + "\n")
            options = {
                "secret_file": str(secret_file), "hashalg": reader["hashalg"],
                "schemes": reader["schemes"], "include_ip": reader["include_ip"],
                "absolute_timeout": reader["absolute_timeout_s"], "max_age": reader["max_age_s"],
            }  # fmt: skip
            tables.append(f"[{as_lua(name)}] = {as_lua(options)}")
        self._readers.write_text("return { " + ",\n".join(tables) + " }\n")
        self.reasons: list[str | None] = []
        """Of the last time it was asked: why each was refused, or None."""

    def read(self, asked: Sequence[Asked]) -> list[Found]:
        """requests -> what each is let in as"""
        lines = [
            f"{one.reader}\t{one.now_s}\t{one.address.encode('latin-1').hex()}"
            f"\t{one.header.encode('latin-1').hex()}\n"
            for one in asked
        ]
        ended = subprocess.run(
            [*self._argv, str(self._readers)], input="".join(lines), capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        said = [line.split("\t") for line in ended.stdout.splitlines()]
        assert len(said) == len(asked)
        self.reasons = [None if one[0] == "good" else one[1] for one in said]
        return [
            (bytes.fromhex(one[1]).decode(), one[2]) if one[0] == "good" else None for one in said
        ]


def as_lua(value: Any) -> str:
    """text, number, bool, None, list or dict -> the same as Lua writes it"""
    if value is None:
        return "nil"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {as_lua(one)}" for key, one in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "{ " + ", ".join(map(as_lua, value)) + " }"
    return json.dumps(value)
