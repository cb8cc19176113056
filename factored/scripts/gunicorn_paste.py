"""``gunicorn_paste [OPTIONS] INI``: gunicorn with the ini's own ``[server:main]``, as 1.x had it.

gunicorn dropped the command in 20.0, and ``gunicorn --paste`` ignores ``[server:main]``.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any


def main() -> None:
    """console script; runs until it is stopped"""
    # Loaded here, as gunicorn is not needed by those who serve with something else.
    try:
        from gunicorn.app.wsgiapp import WSGIApplication
    except ImportError:
        raise SystemExit(
            "gunicorn_paste: gunicorn is not installed: pip install gunicorn"
        ) from None

    class PasteServer(WSGIApplication):  # type: ignore[misc]  # gunicorn has no types
        """gunicorn, its defaults taken from ``[server:main]``; the command line wins."""

        def init(self, parser: ArgumentParser, opts: Namespace, args: list[str]) -> Any:
            if len(args) != 1:
                parser.error("give exactly one ini file")
            path = Path(args[0].partition("#")[0]).absolute()
            if not path.is_file():
                parser.error(f"{path} is not there")
            self.cfg.set("paste", args[0])
            opts.paste = args[0]
            super().init(parser, opts, [])
            return server_settings(path, self.cfg)

    PasteServer("%(prog)s [OPTIONS] INI").run()


UNBELIEVED: dict[str, Any] = {
    "forwarded_allow_ips": "",
    "forwarder_headers": "",
    "secure_scheme_headers": {},
}


def server_settings(path: Path, cfg: Any) -> dict[str, Any]:
    """ini path, gunicorn's config -> what ``[server:main]`` says, in gunicorn's own names

    gunicorn by itself believes a path and a scheme from any peer on its own host; the gate believes
    its trusted_proxies alone, so both are off unless the section sets them.

    ``host``, ``port`` and ``listen`` mean the same under every server; all other keys are
    gunicorn's only where the section uses gunicorn (``threads`` of waitress are not its threads).
    """
    from paste.deploy.loadwsgi import SERVER, loadcontext

    try:
        context = loadcontext(
            SERVER, f"config:{path}", name="main", global_conf=cfg.paste_global_conf
        )
    except LookupError:
        return dict(UNBELIEVED)
    given = dict(context.local_conf)
    host, port, listen = (given.pop(key, "") for key in ("host", "port", "listen"))
    settings: dict[str, Any] = dict(UNBELIEVED)
    if listen:
        settings["bind"] = listen.split()
    elif host or port:
        settings["bind"] = f"{host or '127.0.0.1'}:{port or 8000}"
    package = context.distribution.metadata["Name"] if context.distribution else ""
    if package == "gunicorn":
        settings.update({key: value for key, value in given.items() if key in cfg.settings})
    return settings
