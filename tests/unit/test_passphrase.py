"""Keys of a passphrase: they open what they closed, in its place, and nothing else does."""

from __future__ import annotations

import pytest

from factored.interfaces import DecryptionError
from factored.passphrase import MOST_N, Cost, PassphraseKeys

SALT = b"0123456789abcdef"
CHEAP = Cost(n=2)
"""For tests, which try hundreds."""


def keys(passphrase: str = "correct horse", salt: bytes = SALT) -> PassphraseKeys:
    return PassphraseKeys(passphrase, salt, CHEAP)


def test_the_same_passphrase_decrypts_and_every_ciphertext_is_another() -> None:
    first, second = (keys().encrypt("Zoë ☎", bound_to="here") for _ in range(2))
    assert first != second
    assert [keys().decrypt(one, bound_to="here") for one in (first, second)] == ["Zoë ☎"] * 2


@pytest.mark.parametrize(
    "other", [keys("correct hors"), keys("Correct horse"), keys(salt=b"1123456789abcdef")]
)
def test_another_passphrase_or_salt_does_not(other: PassphraseKeys) -> None:
    with pytest.raises(DecryptionError):
        other.decrypt(keys().encrypt("secret", bound_to="here"), bound_to="here")
    assert other.signing("a").hexdigest() != keys().signing("a").hexdigest()


def test_what_was_moved_changed_or_cut_does_not_open() -> None:
    made = keys().encrypt("secret", bound_to="here")
    flipped = ("B" if made[30] == "A" else "A").join((made[:30], made[31:]))
    for text in (flipped, made[:-4], made[4:], "", "AAAA", "é", made + "!", "A" * 40):
        with pytest.raises(DecryptionError):
            keys().decrypt(text, bound_to="here")
    with pytest.raises(DecryptionError):
        keys().decrypt(made, bound_to="there")


def test_each_purpose_has_a_signature_of_its_own() -> None:
    made = []
    for purpose, text in (("check", b"x"), ("seal", b"x"), ("check", b"y"), ("chec", b"kx")):
        signing = keys().signing(purpose)
        signing.update(text)
        made.append(signing.hexdigest())
    assert len(set(made)) == 4


def test_one_passphrase_typed_on_two_keyboards_is_one() -> None:
    sealed = keys("Zo\u00eb").encrypt("secret", bound_to="here")
    assert keys("Zoe\u0308").decrypt(sealed, bound_to="here") == "secret"


def test_what_is_no_text_may_be_a_passphrase() -> None:
    odd = b"\xff\xfe word".decode("utf-8", "surrogateescape")
    assert keys(odd).decrypt(keys(odd).encrypt("s", bound_to=""), bound_to="") == "s"


@pytest.mark.parametrize(
    "cost",
    [{"n": MOST_N * 2}, {"n": 1}, {"n": 0}, {"n": -2}, {"n": 3}, {"r": 9}, {"r": 0}, {"p": 5},
     {"p": 0}],
)  # fmt: skip
def test_a_cost_that_could_take_all_memory_or_none_is_refused(cost: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="scrypt"):
        Cost(**cost)


def test_what_we_write_is_what_is_recommended() -> None:
    assert (Cost().n, Cost().r, Cost().p) == (131072, 8, 1)
    assert Cost(n=MOST_N).n == MOST_N
