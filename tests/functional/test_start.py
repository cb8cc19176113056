"""What a serving process has in memory: nothing that only commands need, or other sites."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pyotp

from tests.support import NAME, Site

SERVE = """
import linecache, re, sys
from paste.deploy import loadapp
from webob import Request

app = loadapp(f"config:{sys.argv[1]}")
assert not linecache.cache

def ask(path, cookie="", **fields):
    request = Request.blank(path, POST=fields or None, accept="text/html")
    request.headers["Cookie"] = cookie
    return request.get_response(app)

assert ask("/page").status_int == 302
page = ask("/auth/ga")
cookie = page.headers["Set-Cookie"].partition(";")[0]
token = re.search('name="csrf_token" value="([^"]+)"', page.text)[1]
fields = {"csrf_token": token, "username": sys.argv[2]}
assert ask("/auth/ga", cookie, submit="username", **fields).status_int == 200
ticket = ask("/auth/ga", cookie, submit="authenticate", code=sys.argv[3], **fields)
assert ticket.status_int == 303, ticket
app.close()
print(*sys.modules)
"""

COMMAND = """
import sys
from factored.scripts.main import main

assert main(["user", "list", sys.argv[1]]) == 0
print(*sys.modules)
"""

COMMANDS_ONLY = {"factored.scripts", "alembic", "mako", "segno"}
OTHER_SITES_ONLY = {"psycopg", "pymysql", "sqlalchemy.dialects.mysql"}
MAILS_ONLY = {"pyramid_mailer.message"}


def imported(code: str, *words: str) -> set[str]:
    """program, its arguments -> the modules that it says, in its last line, it has imported"""
    argv = [sys.executable, "-c", code, *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_a_process_that_serves_logins_has_imported_nothing_that_it_does_not_need(
    make_site: Callable[..., Site],
) -> None:
    site = make_site()
    found = imported(SERVE, str(site.ini), NAME, pyotp.TOTP(site.secret).now())
    assert {"factored.app", "sqlalchemy", "chameleon"} <= found
    assert found & (COMMANDS_ONLY | OTHER_SITES_ONLY | MAILS_ONLY) == set()


def test_a_command_does_not_import_what_serves_pages(make_site: Callable[..., Site]) -> None:
    found = imported(COMMAND, str(make_site().ini))
    assert "factored.services.users" in found
    assert found & {"factored.web", "pyramid.config", "chameleon", "alembic", "urllib3"} == set()
