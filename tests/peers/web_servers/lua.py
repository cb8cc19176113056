"""auth_tkt.lua and its adapters, broken on purpose: whatever throws where, nobody gets in."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.peers.servers import START_S, Server
from tests.support import eventually

from .harness import SHIPPED, WebServer

BROKEN = (
    "the check throws",
    "the digest throws",
    "what is asked of a good ticket throws",
    "what is asked of a bad ticket throws",
    "the adapter throws",
    "does not parse",
)

THROWS = 'error("broken by a test") '
ADAPTERS = {"nginx.lua": "function site.protect()\n", "trafficserver.lua": "return function()\n"}


def broken_lua(folder: Path, how: str, adapter: str) -> Path:
    """new folder, one of BROKEN, file of the adapter -> a copy of web-servers/lua, broken so"""
    shutil.copytree(SHIPPED / "lua", folder)
    file, old, new = {
        "the check throws": (
            "auth_tkt.lua", "local function decide(header, address, options, memory)\n", THROWS,
        ),
        # As in an earlier release, where LuaJIT had no such function.
        "the digest throws": (
            "auth_tkt.lua", "  local place\n", "  local place = math.mod(5, 2)\n",
        ),
        "what is asked of a good ticket throws": (
            "requests.lua", "function requests.is_header_value(user)\n", THROWS,
        ),
        "what is asked of a bad ticket throws": (
            "requests.lua", "function requests.is_page_load(method, header)\n", THROWS,
        ),
        "the adapter throws": (adapter, ADAPTERS[adapter], THROWS),
        "does not parse": ("auth_tkt.lua", "local auth_tkt = {}\n", "this is no Lua\n"),
    }[how]  # fmt: skip
    text = (folder / file).read_text("utf-8")
    assert text.count(old) == 1, (file, old)
    put = new if "place" in old or "this is" in new else old + new
    (folder / file).write_text(text.replace(old, put), "utf-8")
    return folder


def refuses_everybody(
    folder: Path, argv: Sequence[str], port: int, web_server: WebServer, how: str
) -> None:
    """Starts a web server with Lua broken so before the site of another one, which hears nothing.

    Where only bad tickets meet the error, members get in as ever.
    """
    server = Server(argv, port, folder, ready_path=None)
    other = WebServer(server, web_server.site, web_server.factored, web_server.tls)
    process = server.launch()
    try:

        def is_up() -> bool:
            return process.poll() is not None or server.answers()

        eventually(is_up, within_s=START_S)
        if process.poll() is not None:
            assert how == "does not parse", server.tail()
            return
        mark = f"/page?broken={folder.parent.name}"
        members = how != "what is asked of a bad ticket throws"
        browsers = [other.visitor(), other.holder("0" * 72), other.member(age_s=8000)]
        for browser in [*browsers, *([other.member()] if members else [])]:
            for headers in ([], [("X-Requested-With", "XMLHttpRequest")]):
                with contextlib.suppress(OSError):
                    assert browser.get(mark, *headers).status >= 300
        assert web_server.site.never_saw(mark)
    finally:
        server.stop()
