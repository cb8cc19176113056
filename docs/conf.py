"""Sphinx settings; ``sphinx-build -W -b html docs docs/_build/html`` makes the pages."""

import re
from pathlib import Path

INIT = Path(__file__).parent.parent / "factored" / "__init__.py"

project = "factored"
author = "the factored developers"
copyright = "2026, the factored developers"
release = re.search(r'__version__ = "([^"]+)"', INIT.read_text("utf-8"))[1]
version = release

extensions = []
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = f"factored {release}"
html_show_sourcelink = False
html_copy_source = False
