"""Templates -> pages: Chameleon, with nothing in a template's hands but the names it is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chameleon import PageTemplateLoader


class Pages:
    """Renders ``NAME.pt`` from the first folder that has it.

    :param search_path: folders, a site's own before ours
    """

    def __init__(self, search_path: Sequence[Path]) -> None:
        self._loader = PageTemplateLoader(
            [str(folder) for folder in search_path], default_extension=".pt", strict=True
        )

    def render(self, name: str, **names: Any) -> str:
        """template name, names -> HTML text"""
        return str(self._loader[name](**names))
