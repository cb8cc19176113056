"""Templates -> pages: Chameleon, with nothing in a template's hands but the names it is given."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from chameleon import PageTemplateFile
from chameleon.exc import LanguageError, TemplateError
from chameleon.tales import ProxyExpr

from factored import templates
from factored.interfaces import ConfigurationError

OURS = Path(__file__).parent / "templates"

PREFIX = "factored:"
"""``load: factored:layout.pt`` is our own layout, whoever else has one."""


class Pages:
    """Renders ``NAME.pt``: the site's own, else an add-on's, else ours. One for each gate.

    ``load: NAME.pt`` in any template goes the same way. Those of others are read and compiled at
    once, so that what is wrong with one stops the start; ours when they are first needed.

    :param site_folder: the folder that ``templates_dir`` names
    :param ours: the folder with our templates, if it is another
    :raises ConfigurationError: with all that is wrong with the templates in it
    """

    def __init__(self, site_folder: Path | None = None, *, ours: Path | None = None) -> None:
        paths = {path.name: path for path in (ours or OURS).glob("*.pt")}
        self._ours = {name: self._template(path, paths) for name, path in paths.items()}
        self._of_add_ons: dict[str, PageTemplateFile] = {}
        self._of_site: dict[str, PageTemplateFile] = {}
        if site_folder is not None:
            self._of_site, problems = self._compiled(site_folder)
            if problems:
                raise ConfigurationError([f"templates_dir: {problem}" for problem in problems])

    def customize(self, folder: Path) -> list[str]:
        """folder of an add-on -> what is wrong with it; comes before those of earlier add-ons"""
        found, problems = self._compiled(folder)
        self._of_add_ons.update(found)
        return problems

    def render(self, name: str, **names: Any) -> str:
        """template name, names -> HTML text"""
        return str(self._find(f"{name}.pt").render(**names))

    def _find(self, spec: str) -> PageTemplateFile:
        name = spec.strip()
        if name.startswith(PREFIX):
            return self._ours[name.removeprefix(PREFIX)]
        for layer in (self._of_site, self._of_add_ons):
            if name in layer:
                return layer[name]
        return self._ours[name]

    def _compiled(self, folder: Path) -> tuple[dict[str, PageTemplateFile], list[str]]:
        """folder -> its templates by name, and what is wrong with them"""
        paths, problems = templates.find(folder)
        made: dict[str, PageTemplateFile] = {}
        for name, path in paths.items():
            if name not in self._ours:
                problems.append(f"{path} would never be used; {_known(name, self._ours)}")
                continue
            made[name] = self._template(path, self._ours)
            problem = _compile(made[name], path)
            if problem:
                problems.append(problem)
        return made, problems

    def _template(self, path: Path, known: Any) -> PageTemplateFile:
        return PageTemplateFile(
            str(path),
            loader_class=lambda **_: _Loader(self._find),
            expression_types={
                **PageTemplateFile.expression_types,
                "load": partial(_Load, path.name, known),
            },
            value_repr=_not_shown,
            strict=True,
        )


class _Loader:
    """What Chameleon wants behind ``load:``; its own looks into the template's folder first."""

    def __init__(self, find: Callable[[str], PageTemplateFile]) -> None:
        self._find = find

    def bind(self, template_class: object) -> Callable[[str], PageTemplateFile]:
        return self._find


class _Load(ProxyExpr):  # type: ignore[misc]  # Chameleon is not followed
    """``load: NAME.pt``, refused at once if there is no such template, or it is the same again."""

    def __init__(self, own: str, known: Any, expression: Any) -> None:
        super().__init__("__loader", expression, ignore_prefix=False)
        spec = str(expression).strip()
        name = spec.removeprefix(PREFIX)
        if "${" in spec:
            return
        if spec == own:
            raise LanguageError(f"it loads itself; ours is {PREFIX}{own}", expression)
        if name not in known:
            raise LanguageError(f"there is no {spec!r} to load; {_known(name, known)}", expression)


def _known(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name.removesuffix(".pt"), [one[:-3] for one in known], n=1)
    return f"did you mean {near[0]}.pt?" if near else f"known are {', '.join(sorted(known))}"


def _compile(template: PageTemplateFile, path: Path) -> str:
    """template -> why it cannot be compiled, with file and line; empty if it can"""
    try:
        template.cook_check()
    except TemplateError as error:
        line = error.token.location[0] if error.token else 1
        return f"{path}, line {line}: {error.args[0]}"
    except SyntaxError as error:
        return f"{path}, line {error.lineno or 1}: {error.msg}"
    except UnicodeDecodeError:
        return f"{path} must be text in UTF-8"
    except OSError as error:
        return f"{path} must be a file that can be read: {error.strerror}"
    except Exception as error:  # noqa: BLE001 whatever else Chameleon trips over is in the file
        return f"{path} cannot be compiled: {error}"
    return ""


def _not_shown(value: object) -> str:
    """A template that fails would show its names in the log, codes and secrets among them."""
    return f"({type(value).__name__})"
