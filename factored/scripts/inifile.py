"""An ini file -> the settings of its section that uses egg:factored#main."""

from __future__ import annotations

import configparser
import logging.config
import sys
from dataclasses import dataclass, field
from pathlib import Path

from paste.deploy.loadwsgi import ConfigLoader

from factored.interfaces import FactoredError

USES = ("egg:factored", "egg:factored#main")

NOT_SETTINGS = ("use", "next", "filter-with", "require")
"""What PasteDeploy keeps for itself in a section."""


class IniError(FactoredError):
    """The ini file cannot be used; one sentence says why."""


@dataclass(frozen=True)
class Ini:
    """The settings of one section, and where they come from."""

    path: Path
    section: str
    given: dict[str, str] = field(repr=False)

    @property
    def here(self) -> Path:
        return self.path.parent


def read(uri: str) -> Ini:
    """``x.ini`` or ``x.ini#section`` -> Ini; reads what PasteDeploy would, and starts nothing

    :raises IniError: no such file, not an ini file, or no one section of ours
    """
    name, _, wanted = uri.partition("#")
    path = Path(name).absolute()
    try:
        parser = ConfigLoader(str(path)).parser
        section = _section(path.name, parser, wanted)
        return Ini(path, section, _settings(parser, section))
    except FileNotFoundError:
        raise IniError(f"{name} is not there") from None
    except OSError as error:
        raise IniError(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise IniError(f"{name} is not a text file in UTF-8") from None
    except configparser.Error as error:
        raise IniError(f"{name}: {' '.join(str(error).split())}") from None


def set_up_logging(path: Path) -> None:
    """ini path -> None; what a command does goes to the log that the server's events go to

    :raises IniError: the logging sections cannot be used
    """
    try:
        defaults = {"here": str(path.parent), "__file__": str(path)}
        if "loggers" in ConfigLoader(str(path)).parser.sections():
            logging.config.fileConfig(
                path, defaults, disable_existing_loggers=False, encoding="utf-8"
            )
            _keep_stdout_for_results()
    except Exception as error:
        raise IniError(f"{path.name}: the logging sections cannot be used: {error}") from error


def _keep_stdout_for_results() -> None:
    """What a command prints there is read by programs; a server's log may go there too."""
    named = (logging.getLogger(name) for name in logging.root.manager.loggerDict)
    for logger in (logging.root, *named):
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
                handler.setStream(sys.stderr)


def _section(name: str, parser: configparser.ConfigParser, wanted: str) -> str:
    ours = [
        section
        for section in parser.sections()
        if parser.get(section, "use", raw=True, fallback="").strip() in USES
    ]
    if wanted:
        named = [one for one in ours if one == wanted or one.partition(":")[2].strip() == wanted]
        if not named:
            raise IniError(
                f"{name} has no section {wanted!r} that uses egg:factored#main; "
                f"it has: {', '.join(ours) or 'none'}"
            )
        return named[0]
    if not ours:
        raise IniError(f"{name} has no section that uses egg:factored#main")
    if len(ours) > 1:
        choices = " or ".join(f"{name}#{one.partition(':')[2].strip()}" for one in ours)
        raise IniError(f"{name} has several sections that use egg:factored#main; say {choices}")
    return ours[0]


def _settings(parser: configparser.ConfigParser, section: str) -> dict[str, str]:
    """Option by option as PasteDeploy does: defaults are not settings, ``get x = y`` reads one."""
    defaults = dict(parser.defaults())
    own = [one for one in parser.options(section) if one not in (*defaults, *NOT_SETTINGS)]
    texts = {option: parser.get(section, option) for option in own}
    shared = defaults | {
        option[4:].strip(): text for option, text in texts.items() if option.startswith("set ")
    }
    values = {}
    for option, text in texts.items():
        if option.startswith("get "):
            values[option[4:].strip()] = shared.get(text, "")
        elif not option.startswith("set "):
            values[option] = text
    return values
