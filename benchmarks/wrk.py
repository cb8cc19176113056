"""The program wrk: as many requests as a server answers over kept connections."""

from __future__ import annotations

import re
import subprocess
from typing import NamedTuple


class Asked(NamedTuple):
    """What wrk said: requests, how many a second, latencies in ms."""

    requests: float
    per_s: float
    median_ms: float
    slow_ms: float


def ask(port: int, path: str, cookie: str, seconds: int, connections: int = 8) -> Asked:
    """port, path, Cookie header, how long -> what wrk measured; every answer must be the page"""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Cookie: {cookie}",
         f"http://127.0.0.1:{port}{path}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    if "Non-2xx" in done or "Socket errors" in done:
        raise SystemExit(done)
    requests = re.search(r"(\d+) requests in ", done)
    per_s = re.search(r"Requests/sec:\s+([\d.]+)", done)
    said = {
        share: float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
        for share, number, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)\b", done)
    }
    assert requests is not None
    assert per_s is not None
    return Asked(float(requests[1]), float(per_s[1]), said["50"], said["99"])
