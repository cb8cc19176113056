"""What every store and every scheme must do, as suites that plug-in authors run on their own.

Derive a class whose name begins with ``Test`` from a suite and give it the fixture it asks for::

    class TestMyAttempts(AttemptStoreContract):
        @pytest.fixture
        def stores(self, tmp_path):
            return SimpleNamespace(attempts=MyAttemptStore(tmp_path))

A suite of one role of a store asks for ``stores``, an object with the roles that the suite names;
the suites of schemes, finders and whole stores ask for ``case``, the ``Case`` of their own module.
"""

import pytest

SUITES = (
    "attempt_store",
    "challenge_store",
    "device_store",
    "finder",
    "link_store",
    "recovery_code_store",
    "revocation_store",
    "scheme",
    "stores",
    "ticket_store",
    "user_store",
)

# So that a failed assertion shows its values, as in a test module.
pytest.register_assert_rewrite(*(f"{__name__}.{suite}" for suite in SUITES))
