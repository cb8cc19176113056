"""Recovery codes at /rc: made on the account page, kept on paper, each good once."""

from __future__ import annotations

from factored import codes
from factored.interfaces import Asker, Challenge, SchemeContext, User, Verdict
from factored.services.recovery import SCHEME, RecoveryCodes
from factored.words import _

NOBODY = 0
"""An id that no user has: what is asked for takes as long as for a user."""


class RecoveryScheme:
    """:class:`factored.interfaces.Scheme` for users who lost their device.

    It is no way in beside the others, so supported_auth_schemes does not list it.
    Source: NIST SP 800-63B section 3.1.2, look-up secrets.
    """

    name = _("Recovery code")
    path = SCHEME
    budget = "recovery"
    title = _("Use a recovery code")
    code_label = _("Recovery code")
    code_desc = _(
        "One of the ten codes that you made on your account page. If you have none, ask the "
        "operator of this site."
    )
    sends = False

    def __init__(self, context: SchemeContext) -> None:
        self._codes = RecoveryCodes(context.recovery_codes, context.hasher, context.clock)

    def check_sending(self) -> None:
        """Nothing is sent."""

    def challenge(self, user: User | None, asker: Asker) -> None:
        """Nothing: the user has the codes."""

    def awaited(self, asker: Asker) -> Challenge | None:
        return None

    def normalise(self, text: str) -> str | None:
        return codes.recovery_code(text)

    def verify(
        self,
        user: User | None,
        response: str,
        challenge: Challenge | None = None,
        *,
        known_device: bool = False,
    ) -> Verdict:
        may = user is not None and user.disabled_at is None
        burned = self._codes.burn(user.id if user and may else NOBODY, response)
        if user is None:
            return Verdict.UNKNOWN_USER
        return Verdict.ACCEPTED if burned else Verdict.WRONG
