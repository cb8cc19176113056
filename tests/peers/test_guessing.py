"""Guessing against real servers: counted once over all workers, and no way to lock a user out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from .client import Browser, code, new_address, visitor, wrong_code
from .servers import Front, User

A_DAY = 5
"""Guesses of one source for an account on one day."""


def guess(front: Front, user: User, times: int, address: str | None = None) -> list[int]:
    """user, how often, from where -> the statuses of that many wrong codes"""
    digits, browser = wrong_code(user.secret), visitor(front, address)
    form = browser.name_given(user.name)
    return [browser.send(form, code=digits, submit="authenticate").status for _ in range(times)]


def test_the_sixth_guess_of_a_day_is_not_evaluated_even_if_right(front: Front) -> None:
    user, address = front.add_user(), new_address()
    assert guess(front, user, A_DAY, address) == [200] * A_DAY
    browser = visitor(front, address)
    right = code(user.secret)
    answer = browser.attempt(user.name, right)
    assert answer.status == 429
    assert int(answer.header("Retry-After")) > 0
    assert 'role="alert"' in answer.text
    assert "auth_tkt" not in browser.cookies
    # It was not even looked at: from elsewhere the same code is still unused, and right.
    elsewhere = visitor(front)
    assert elsewhere.attempt(user.name, right).status == 303
    assert elsewhere.signed_in()


def test_an_unknown_name_is_throttled_like_a_known_one(front: Front) -> None:
    nobody = User(f"nobody-{front.kind}@example.com", front.add_user().secret)
    assert guess(front, nobody, A_DAY + 1) == [200] * A_DAY + [429]


def test_a_known_device_gets_in_while_strangers_guess(front: Front) -> None:
    user, own = front.add_user(), visitor(front)
    own.sign_in(user)
    # The ticket goes, the device stays known.
    del own.cookies["auth_tkt"]
    for _ in range(2):
        assert guess(front, user, A_DAY) == [200] * A_DAY
    assert guess(front, user, 1) == [429]
    stranger = visitor(front)
    assert stranger.attempt(user.name, code(user.secret, 1)).status == 429
    own.sign_in(user, steps=1)
    assert own.signed_in()


def test_a_refused_guess_counts_nowhere(front: Front) -> None:
    first, second, address = front.add_user(), front.add_user(), new_address()
    assert guess(front, first, A_DAY + 30, address) == [200] * A_DAY + [429] * 30
    # The source has spent 5 of its 30 in ten minutes, whatever was refused.
    assert guess(front, second, 1, address) == [200]


def test_forwarded_addresses_of_a_client_do_not_open_new_budgets(front: Front) -> None:
    user, address = front.add_user(), new_address()
    browser, digits = visitor(front, address), wrong_code(user.secret)
    form = browser.name_given(user.name)
    statuses = []
    for number in range(A_DAY + 1):
        body = "&".join(
            f"{name}={value}"
            for name, value in {
                **form.fields, "username": user.name.replace("@", "%40"), "code": digits,
                "submit": "authenticate",
            }.items()
        ).encode()  # fmt: skip
        headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("X-Forwarded-For", f"192.0.2.{number}"),
            ("Forwarded", f"for=192.0.2.{number}"),
            ("X-Real-IP", f"192.0.2.{number}"),
        ]
        statuses.append(browser.request("POST", form.action, body, headers).status)
    assert statuses == [200] * A_DAY + [429]


@pytest.mark.parametrize("front", ["gunicorn"], indirect=True)
def test_two_workers_count_guesses_once(front: Front) -> None:
    user, address = front.add_user(), new_address()
    digits = wrong_code(user.secret)
    browser = Browser(front.port, address)
    form = browser.name_given(user.name)
    workers = front.server.workers()
    assert len(workers) == 2
    statuses = []
    for number in range(A_DAY + 2):
        with front.server.only(workers[number % 2]):
            statuses.append(browser.send(form, code=digits, submit="authenticate").status)
    assert statuses == [200] * A_DAY + [429] * 2


def test_parallel_guesses_do_not_outrun_the_limit(front: Front) -> None:
    user, address = front.add_user(), new_address()
    browser, digits = visitor(front, address), wrong_code(user.secret)
    form = browser.name_given(user.name)
    with ThreadPoolExecutor(20) as pool:
        answers = pool.map(
            lambda _: browser.send(form, code=digits, submit="authenticate").status, range(60)
        )
        statuses = sorted(answers)
    assert statuses == [200] * A_DAY + [429] * (60 - A_DAY)
