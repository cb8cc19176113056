"""Real web servers, each with exactly the configuration that we ship, before a real site.

``harness`` starts site, factored and web server; ``scenarios`` holds what every web server must do,
as suites in the way of :mod:`tests.contract`: derive a class whose name begins with ``Test`` and
give it a class-scoped fixture ``web_server``.
"""

import pytest

# So that a failed assertion shows its values, as in a test module.
for name in ("harness", "scenarios", "attacks", "edges", "lua"):
    pytest.register_assert_rewrite(f"{__name__}.{name}")
