"""Processor time that servers used, all their processes together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.peers.servers import Server

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> Iterator[int]:
    """process id -> it, and all that it started"""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):
            for child in task.read_text().split():
                yield from family(int(child))


def used_s(*servers: Server) -> float:
    """servers -> processor time that all their processes, ended ones too, have used"""

    def ticks(pid: int, first: int) -> int:
        """process id, which field: 11 its own, 13 that of its ended children (proc(5), stat)"""
        with contextlib.suppress(FileNotFoundError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return int(fields[first]) + int(fields[first + 1])
        return 0  # it has just ended

    pids = [server.process.pid for server in servers if server.process is not None]
    own = sum(ticks(pid, 11) for top in pids for pid in family(top))
    return (own + sum(ticks(pid, 13) for pid in pids)) * TICK_S
