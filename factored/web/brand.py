"""A site's own looks without a template: logo, colours and footer, as its settings say."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyramid.httpexceptions import HTTPNotFound
from pyramid.request import Request
from pyramid.response import Response

from factored import colors
from factored.interfaces import ConfigurationError, Environ, StartResponse
from factored.settings import Settings
from factored.web.renderer import Pages

MAX_LOGO_BYTES = 256 * 1024

LOGO_TYPES: Mapping[str, tuple[str, re.Pattern[bytes]]] = {
    ".svg": (
        "image/svg+xml",
        re.compile(
            rb"(\xef\xbb\xbf)?(\s|<\?[^>]*>|<!--((?!-->).)*-->"
            rb"|<!DOCTYPE\s+svg[^>\[]*(\[[^]]*\]\s*)?>)*<([A-Za-z]+:)?svg[\s>]",
            re.DOTALL,
        ),
    ),
    ".png": ("image/png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ".webp": ("image/webp", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
}
"""What a logo may be: end of the file name -> type, and how such a file begins."""

CACHE = "public, max-age=3600"
"""Short, though the URL has a digest: while a site is updated, a node may have the old one."""

NO_SCRIPTS = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
"""For an SVG that is opened as a page: it may colour itself, and run and load nothing."""


@dataclass(frozen=True)
class Shown:
    """What a template gets as ``brand``; each is empty where the site has none.

    :param logo: URL path
    :param stylesheet: URL path
    :param help: URL of the site's own help
    """

    logo: str = ""
    stylesheet: str = ""
    footer: str = ""
    help: str = ""


@dataclass(frozen=True)
class Brand:
    """A site's looks, read once.

    :param logo: the picture, or empty
    :param css: stylesheet that comes after ours, or empty
    """

    logo: bytes = b""
    logo_type: str = ""
    css: str = ""
    footer: str = ""
    help: str = ""

    def shown(self, auth_path: str) -> Shown:
        """path of the auth app -> what templates get"""
        css = self.css.encode()
        return Shown(
            logo=f"{auth_path}/brand/logo?{_digest(self.logo)}" if self.logo else "",
            stylesheet=f"{auth_path}/brand/style.css?{_digest(css)}" if css else "",
            footer=self.footer,
            help=self.help,
        )


def make_brand(settings: Settings) -> Brand:
    """settings -> the looks that they ask for

    :raises ConfigurationError: the logo is no picture that can be served
    """
    logo, logo_type = read_logo(settings.logo) if settings.logo else (b"", "")
    return Brand(
        logo,
        logo_type,
        css=_css(settings.color, settings.color_dark),
        footer=settings.footer_text or "",
        help=settings.help_url or "",
    )


def read_logo(path: Path) -> tuple[bytes, str]:
    """file -> what is in it, and its type

    :raises ConfigurationError: it is not there, too large, or not what its name says
    """
    allowed = f"a picture {', '.join(LOGO_TYPES)} of at most {MAX_LOGO_BYTES // 1024} KiB"
    wrong = f"logo: {str(path)!r} must be {allowed}"
    if path.suffix.lower() not in LOGO_TYPES:
        raise ConfigurationError([wrong])
    try:
        with path.open("rb") as file:
            content = file.read(MAX_LOGO_BYTES + 1)
    except OSError as error:
        raise ConfigurationError([f"{wrong}: {error.strerror}"]) from error
    content_type, beginning = LOGO_TYPES[path.suffix.lower()]
    if len(content) > MAX_LOGO_BYTES:
        raise ConfigurationError([f"{wrong}; it has {path.stat().st_size} bytes"])
    if not beginning.match(content):
        raise ConfigurationError([f"{wrong}; what is in it is not {content_type}"])
    return content, content_type


def file_problems(given: Mapping[str, str], here: str | os.PathLike[str] | None) -> list[str]:
    """ini strings, folder -> what is wrong with the logo and the templates that they name

    To be told together with all other problems, even while there are no settings.
    """
    problems: list[str] = []
    looks: Mapping[str, Any] = {"logo": read_logo, "templates_dir": Pages}
    for key, look in looks.items():
        name = str(given.get(key, "")).strip()
        if name:
            try:
                look(Path(here or Path.cwd()) / name)
            except ConfigurationError as error:
                problems += error.problems
    return problems


class BrandFiles:
    """What is served under ``base_auth_url/brand``."""

    def __init__(self, brand: Brand) -> None:
        self._brand = brand

    def logo(self, request: Request) -> Response:
        """GET -> the logo"""
        return _served(self._brand.logo, self._brand.logo_type)

    def stylesheet(self, request: Request) -> Response:
        """GET -> the colours"""
        return _served(self._brand.css.encode(), "text/css")


def _served(content: bytes, content_type: str) -> Response:
    if not content:
        raise HTTPNotFound()
    response = _Inert(content, content_type=content_type)
    response.headers["Cache-Control"] = CACHE
    if content_type == "text/css":
        response.charset = "utf-8"
    return response


class _Inert(Response):  # type: ignore[misc]  # WebOb has no types
    """A file with a policy of its own, in the place of the one that all pages get."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.headers["Content-Security-Policy"] = NO_SCRIPTS
        answer: Iterable[bytes] = super().__call__(environ, start_response)
        return answer


def _css(color: str | None, color_dark: str | None) -> str:
    light, dark = (
        f":root {{ --accent: {one}; --accent-text: {colors.text_on(one)}; }}" if one else ""
        for one in (color, color_dark)
    )
    if dark:
        dark = f"@media (prefers-color-scheme: dark) {{\n  {dark}\n}}"
    return "".join(f"{part}\n" for part in (light, dark) if part)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
