"""The key ring: a key for each purpose, followed files, and rotation in two steps."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import stat
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factored import keys
from factored.codes import new_key
from factored.interfaces import ConfigurationError, DecryptionError
from tests.support import FixedClock

PURPOSES = [keys.BROWSER, keys.CSRF, keys.DEVICE, keys.LINK, keys.THROTTLE, keys.SECRET]
NEW, OLD, OTHER = (bytes([number]) * 32 for number in (1, 2, 3))
LINES = [base64.urlsafe_b64encode(key).decode().rstrip("=") for key in (NEW, OLD, OTHER)]

relaxed = settings(deadline=None)


def ring(*held: bytes) -> keys.KeyRing:
    return keys.KeyRing(lambda: held or (NEW,))


# -- one key for each purpose ------------------------------------------------------------------


def test_every_purpose_has_a_label_of_its_own() -> None:
    assert len(set(PURPOSES)) == len(PURPOSES)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_derived_key_is_hkdf_with_the_purpose_as_label(purpose: str) -> None:
    """RFC 5869, written out: another label would make every stored value unreadable."""
    extracted = hmac.digest(bytes(32), NEW, hashlib.sha256)
    derived = hmac.digest(extracted, f"factored 6 {purpose}\x01".encode(), hashlib.sha256)
    mac = base64.urlsafe_b64encode(hmac.digest(derived, b"message", hashlib.sha256))
    assert ring().mac(purpose, "message") == mac.decode().rstrip("=")


@pytest.mark.parametrize(("made_for", "shown_for"), list(permutations(PURPOSES, 2)))
def test_a_value_of_one_purpose_is_refused_for_every_other(made_for: str, shown_for: str) -> None:
    held = ring()
    signed = held.sign(made_for, "message")
    assert held.unsign(made_for, signed) == "message"
    assert held.unsign(shown_for, signed) is None
    assert not held.verify(shown_for, "message", held.mac(made_for, "message"))
    sealed = held.encrypt(made_for, "text", bound_to="row")
    assert held.decrypt(made_for, sealed, bound_to="row") == "text"
    with pytest.raises(DecryptionError):
        held.decrypt(shown_for, sealed, bound_to="row")
    buckets = [
        [held.bucket(purpose, str(number), 65536) for number in range(4)]
        for purpose in (made_for, shown_for)
    ]
    assert buckets[0] != buckets[1]


# -- signatures --------------------------------------------------------------------------------


@relaxed
@given(st.text())
def test_what_was_signed_comes_back(message: str) -> None:
    signed = ring().sign(keys.DEVICE, message)
    assert ring().unsign(keys.DEVICE, signed) == (message or None)
    assert ring(OTHER).unsign(keys.DEVICE, signed) is None


@relaxed
@given(st.text(st.characters(), max_size=60))
def test_junk_is_refused_and_never_an_error(junk: str) -> None:
    held = ring()
    assert held.unsign(keys.DEVICE, junk) is None
    assert held.unsign(keys.DEVICE, f"{junk}.{junk}") is None
    assert not held.verify(keys.DEVICE, junk, junk)


def test_one_other_character_is_refused() -> None:
    held = ring()
    signed = held.sign(keys.DEVICE, "7.device.1800000000")
    for place, char in enumerate(signed):
        other = "A" if char != "A" else "B"
        assert held.unsign(keys.DEVICE, signed[:place] + other + signed[place + 1 :]) is None
    for altered in (signed + "=", signed + "\n", " " + signed, signed[:-1], ""):
        assert held.unsign(keys.DEVICE, altered) is None


def test_the_first_key_signs_and_all_verify() -> None:
    both = ring(NEW, OLD)
    assert both.mac(keys.LINK, "x") == ring(NEW).mac(keys.LINK, "x")
    assert both.macs(keys.LINK, "x") == [
        ring(NEW).mac(keys.LINK, "x"),
        ring(OLD).mac(keys.LINK, "x"),
    ]
    assert both.unsign(keys.LINK, ring(OLD).sign(keys.LINK, "x")) == "x"
    assert ring(NEW).unsign(keys.LINK, ring(OLD).sign(keys.LINK, "x")) is None


def test_buckets_are_below_their_number_and_spread_out() -> None:
    found = [ring().bucket(keys.THROTTLE, f"name {number}", 16) for number in range(500)]
    assert set(found) == set(range(16))
    assert ring(NEW).bucket(keys.THROTTLE, "x", 65536) != ring(OLD).bucket(
        keys.THROTTLE, "x", 65536
    )


# -- encryption --------------------------------------------------------------------------------


@relaxed
@given(st.text(), st.text())
def test_what_was_encrypted_comes_back_in_its_place(text: str, place: str) -> None:
    sealed = ring().encrypt(keys.SECRET, text, bound_to=place)
    assert ring().decrypt(keys.SECRET, sealed, bound_to=place) == text
    assert sealed.isascii()


def test_a_text_is_never_encrypted_the_same_way_twice() -> None:
    assert len({ring().encrypt(keys.SECRET, "x", bound_to="row") for _ in range(100)}) == 100


def test_old_keys_still_decrypt_and_the_newest_encrypts() -> None:
    both = ring(NEW, OLD)
    sealed = ring(OLD).encrypt(keys.SECRET, "x", bound_to="row")
    assert both.decrypt(keys.SECRET, sealed, bound_to="row") == "x"
    sealed = both.encrypt(keys.SECRET, "x", bound_to="row")
    assert ring(NEW).decrypt(keys.SECRET, sealed, bound_to="row") == "x"


def test_a_ciphertext_moved_to_another_row_is_refused() -> None:
    rows = {name: ring().encrypt(keys.SECRET, name, bound_to=name) for name in ("a", "b")}
    for name, other in (("a", "b"), ("b", "a")):
        with pytest.raises(DecryptionError, match=f"stored secret of {name} cannot be read"):
            ring().decrypt(keys.SECRET, rows[other], bound_to=name)


SEALED = ring().encrypt(keys.SECRET, "a secret", bound_to="row")


@pytest.mark.parametrize(
    "damaged",
    ["", ".", "v1", "v1.", "x", SEALED[3:], f"v2.{SEALED[3:]}", f"V1.{SEALED[3:]}", SEALED[:-4],
     f"{SEALED}AAAA", "v1.AAAA", "v1.A", "v1.AAAAAAAAAAAAAAAA", "v1.AAAAAAAAAAAAAAAAAA",
     "v1.\u00e9", "v1." + "A" * 60, f"v1.v1.{SEALED[3:]}"],
)  # fmt: skip
def test_a_damaged_ciphertext_is_refused_with_one_error(damaged: str) -> None:
    with pytest.raises(DecryptionError) as refusal:
        ring(NEW, OLD).decrypt(keys.SECRET, damaged, bound_to="row")
    assert "a secret" not in str(refusal.value)


def test_any_altered_byte_is_noticed() -> None:
    raw = base64.urlsafe_b64decode(SEALED[3:] + "==")
    for place in range(len(raw)):
        altered = bytearray(raw)
        altered[place] ^= 1
        text = "v1." + base64.urlsafe_b64encode(altered).decode()
        with pytest.raises(DecryptionError):
            ring().decrypt(keys.SECRET, text, bound_to="row")


# -- the file ----------------------------------------------------------------------------------


def test_a_key_file_holds_one_key_a_line_and_comments() -> None:
    text = f"# newest\n\n {LINES[0]} \n{LINES[1]}=\n"
    assert keys.parse_keys(text) == (NEW, OLD)
    assert keys.parse_keys(new_key())


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no key"), ("# only\n\n", "no key"), (LINES[0][:-1], "line 1"),
        (LINES[0] + "A", "line 1"), (f"{LINES[0]}\nREPLACEME", "line 2"),
        ("\u00e9" * 43, "line 1"), ("A" * 41, "line 1"),
        (f"{LINES[0]} {LINES[1]}", "line 1"), (LINES[0] * 2, "line 1"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_key_is_named_by_number_and_never_shown(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word) as refusal:
        keys.parse_keys(text)
    assert LINES[0][:8] not in str(refusal.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "factored.key"
    path.write_text(f"{LINES[0]}\n{LINES[1]}\n")
    return path


@pytest.fixture
def watched(path: Path, clock: FixedClock) -> keys.WatchedFile[tuple[bytes, ...]]:
    return keys.WatchedFile("key_file", path, keys.parse_keys, clock)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is not there; `factored init` makes it"),
        ("folder", "cannot be read: Is a directory"),
        (b"", "holds no key"),
        (b"x", "line 1 is not a key"),
        (b"\xff\xfe", "codec can't decode"),
    ],
)
def test_a_start_without_a_usable_file_fails_naming_key_and_path(
    tmp_path: Path, clock: FixedClock, content: bytes | str | None, reason: str
) -> None:
    path = tmp_path / "my.key"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as refusal:
        keys.WatchedFile("key_file", path, keys.parse_keys, clock)
    (problem,) = refusal.value.problems
    assert problem.startswith(f"key_file: {path} ")
    assert reason in problem


@pytest.mark.parametrize(("after_s", "seen"), [(0, False), (1.9, False), (2, False), (2.1, True)])
def test_a_changed_file_is_read_again_after_two_seconds(
    path: Path,
    clock: FixedClock,
    watched: keys.WatchedFile[tuple[bytes, ...]],
    after_s: float,
    seen: bool,
) -> None:
    path.write_text(LINES[2])
    clock.advance(after_s)
    assert watched.content() == ((OTHER,) if seen else (NEW, OLD))
    clock.advance(5 - after_s)
    assert watched.content() == (OTHER,), "promised within 5 s"


def test_a_file_that_did_not_change_is_not_read_again(path: Path, clock: FixedClock) -> None:
    read: list[str] = []
    watched = keys.WatchedFile("key_file", path, read.append, clock)
    for _ in range(3):
        clock.advance(10)
        watched.content()
    assert len(read) == 1
    before = path.stat()
    (path.parent / "new").write_text(path.read_text())
    (path.parent / "new").replace(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    clock.advance(10)
    watched.content()
    assert len(read) == 2, "moved over, with the same size and time"


@pytest.mark.parametrize("damage", ["missing", "empty", "junk", "folder", "binary"])
def test_while_a_file_cannot_be_read_the_old_keys_hold_and_the_log_says_so(
    path: Path,
    clock: FixedClock,
    watched: keys.WatchedFile[tuple[bytes, ...]],
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes({"empty": b"", "junk": b"x", "binary": b"\xff"}[damage])
    for _ in range(2):
        clock.advance(3)
        assert watched.content() == (NEW, OLD)
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert record.getMessage().startswith(f"key_file: {path} ")
        assert record.getMessage().endswith("; the old keys stay")
        caplog.clear()
    if damage == "folder":
        path.rmdir()
    path.write_text(LINES[2])
    clock.advance(3)
    assert watched.content() == (OTHER,)
    assert not caplog.records


def test_a_ring_follows_its_file(
    path: Path, clock: FixedClock, watched: keys.WatchedFile[tuple[bytes, ...]]
) -> None:
    held = keys.KeyRing(watched.content)
    signed = held.sign(keys.CSRF, "x")
    path.write_text(LINES[1])
    clock.advance(3)
    assert held.unsign(keys.CSRF, signed) is None
    assert held.sign(keys.CSRF, "x") == ring(OLD).sign(keys.CSRF, "x")


# -- rotation ----------------------------------------------------------------------------------


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_a_new_file_is_for_its_owner_only_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "my.key"
    assert keys.create_file(path, LINES[0]) is True
    assert (mode_of(path), path.read_text()) == (0o600, LINES[0] + "\n")
    assert keys.create_file(path, LINES[1]) is False
    assert path.read_text() == LINES[0] + "\n"


@pytest.mark.usefixtures("open_umask")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_a_key_is_added_in_the_second_place_and_then_promoted(path: Path, mode: int) -> None:
    path.chmod(mode)
    keys.add_key(path, LINES[2])
    assert keys.parse_keys(path.read_text()) == (NEW, OTHER, OLD)
    assert mode_of(path) == mode
    keys.promote_key(path)
    assert keys.parse_keys(path.read_text()) == (OTHER, NEW, OLD)
    assert mode_of(path) == mode
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_one_key_is_pending_at_a_time(path: Path) -> None:
    with pytest.raises(ValueError, match="no key is pending; add one first"):
        keys.promote_key(path)
    keys.add_key(path, LINES[2])
    text = path.read_text()
    with pytest.raises(ValueError, match="a key is pending already; promote it first"):
        keys.add_key(path, new_key())
    assert path.read_text() == text
    keys.promote_key(path)
    with pytest.raises(ValueError, match="no key is pending"):
        keys.promote_key(path)
    keys.add_key(path, new_key())
    keys.promote_key(path)
    assert keys.parse_keys(path.read_text())[1:] == (OTHER, NEW, OLD)


def test_what_an_interrupted_rotation_left_is_no_obstacle(path: Path) -> None:
    (path.parent / "factored.key.new").write_text("half a")
    keys.add_key(path, LINES[2])
    assert keys.parse_keys(path.read_text()) == (NEW, OTHER, OLD)


def test_an_operators_comments_and_blank_lines_do_not_disturb_the_order(path: Path) -> None:
    path.write_text(f"# mine\n\n{LINES[0]}\n# older\n{LINES[1]}\n")
    keys.add_key(path, LINES[2])
    keys.promote_key(path)
    assert keys.parse_keys(path.read_text()) == (OTHER, NEW, OLD)


@pytest.mark.parametrize("content", ["", "\n", "# only a comment\n"])
def test_a_file_without_a_key_cannot_be_rotated(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(ValueError, match="key"):
        keys.add_key(path, LINES[2])
    assert path.read_text() == content


def test_a_pending_mark_without_a_key_cannot_be_promoted(path: Path) -> None:
    path.write_text(f"{LINES[0]}\n{keys.PENDING}\n")
    with pytest.raises(ValueError, match="key"):
        keys.promote_key(path)


@pytest.mark.parametrize("first", [LINES[:1], LINES[:2]], ids=["one key", "two keys"])
def test_no_bucket_is_emptied_by_a_rotation(
    path: Path, clock: FixedClock, first: list[str]
) -> None:
    """Or whoever filled his budget could guess anew; not even while the new key is pending."""
    path.write_text("\n".join(first))
    held = keys.KeyRing(keys.WatchedFile("key_file", path, keys.parse_keys, clock).content)
    before = held.bucket(keys.THROTTLE, "name al", 65536)
    changes: list[Callable[[], None]] = [
        lambda: keys.add_key(path, LINES[2]),
        lambda: keys.promote_key(path),
    ]
    for change in changes:
        change()
        clock.advance(3)
        assert held.bucket(keys.THROTTLE, "name al", 65536) == before


def test_nobody_is_logged_out_by_a_rotation_node_by_node(path: Path, clock: FixedClock) -> None:
    """A node that follows late still verifies what a node that followed early signed."""
    late, early = (
        keys.KeyRing(keys.WatchedFile("key_file", path, keys.parse_keys, clock).content)
        for _ in range(2)
    )
    signed = late.sign(keys.DEVICE, "x")
    changes: list[Callable[[], None]] = [
        lambda: keys.add_key(path, LINES[2]),
        lambda: keys.promote_key(path),
    ]
    for change in changes:
        change()
        clock.advance(3)
        from_early = early.sign(keys.DEVICE, "x")  # has read the file; the other one has not yet
        assert early.unsign(keys.DEVICE, signed) == "x"
        assert late.unsign(keys.DEVICE, from_early) == "x"
    assert from_early != signed


def test_a_key_file_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(descriptor: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "factored.key"
    monkeypatch.setattr("os.fsync", dies)
    with pytest.raises(KeyboardInterrupt):
        keys.create_file(path, "x" * 43)
    assert not path.exists()
    monkeypatch.undo()
    assert keys.create_file(path, "x" * 43)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not keys.create_file(path, "y" * 43)
    assert path.read_text() == "x" * 43 + "\n"


def test_a_rotation_changes_the_file_that_a_symlink_leads_to(tmp_path: Path) -> None:
    real, link = tmp_path / "real.key", tmp_path / "factored.key"
    keys.create_file(real, "x" * 43)
    link.symlink_to(real)
    keys.add_key(link, "y" * 43)
    assert link.is_symlink()
    assert "y" * 43 in real.read_text()
