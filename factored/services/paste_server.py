"""A word of warning when Paste's own server, fit for a trial alone, is to serve others."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping

from paste.deploy.loadwsgi import SERVER, loadcontext

from factored.environ import is_loopback


def exposed(global_conf: Mapping[str, str]) -> str | None:
    """what PasteDeploy gives every factory -> the warning for the log, or None

    ``[server:main]`` of the ini says it; Paste's server itself tells an app neither its own name
    nor what it listens on.
    """
    path = global_conf.get("__file__")
    # gunicorn reads no more than the address there, and serves by itself.
    if not path or os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
        return None
    try:
        server = loadcontext(SERVER, f"config:{path}", name="main", global_conf=dict(global_conf))
    except (LookupError, ImportError, AttributeError, configparser.Error):
        return None  # who starts that server says it better
    if server.distribution is None or server.distribution.metadata["Name"] != "Paste":
        return None
    host = _host(server.local_conf.get("host", ""))
    if is_loopback(host.lower()):
        return None
    return (
        f"[server:main] lets Paste's own server listen on {host}: it is fit for a trial on one "
        "machine alone, for it takes requests that others can forge; use waitress or gunicorn"
    )


def _host(text: str) -> str:
    """``host`` as Paste's server reads it, which may hold the port -> the host alone"""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host = text.partition(":")[0] if text.count(":") == 1 else text
    return host or "127.0.0.1"
