"""Many who want the same thing at once: threads of two processes, let go together.

``python -m tests.peers.racers URL KIND THREADS`` is one of the processes: for each line that it
reads, what is raced for, it writes how many of its threads got it.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pyotp

from factored.interfaces import (
    Authenticator,
    Challenge,
    Device,
    LinkKind,
    StoreError,
    User,
)
from factored.keys import LINK, KeyRing
from factored.schemes.totp import first_code
from factored.services.devices import Browser, Devices
from factored.services.enrol_links import EnrolLinks
from factored.services.enrolment import Enrolment
from factored.services.links import Links
from factored.services.throttle import Counted, Throttle
from factored.store.bundle import SqlStores
from tests.contract.test_stores import sql_stores_as_they_are
from tests.support import NOW_S, FixedClock

PROCESSES = 2
DONE_S = 60
NAME = "al"


class Race:
    """What is raced for. Each process has its own; they share the database.

    ``prepare`` makes something new, with ``number``, and says in a word what the racers need;
    ``attempt`` is what each of them does, by its own ``number``: -> whether it got it.
    """

    always_one = True

    def __init__(self, stores: SqlStores) -> None:
        self.stores = stores
        self.clock = FixedClock()
        self.ring = KeyRing(lambda: (b"k" * 32,))
        self.devices = Devices(stores.users, stores.devices, self.ring, self.clock)
        self.enrolment = Enrolment(self.ring, self.clock, first_code, issuer="site")

    def user(self) -> User:
        found = self.stores.users.find(NAME)
        return found or self.stores.users.add(
            NAME, NAME, ticket_series="series", now_s=NOW_S, authenticator=self.enrolment.make
        )

    def prepare(self, number: int) -> str:
        raise NotImplementedError

    def attempt(self, word: str, number: int) -> bool:
        raise NotImplementedError


# -- what is to work once --------------------------------------------------------------------------


class TotpStep(Race):
    def prepare(self, number: int) -> str:
        held: Authenticator = self.user().authenticators[0]
        return f"{held.id}/{number + 1}"

    def attempt(self, word: str, number: int) -> bool:
        held_id, _, step = word.partition("/")
        return self.stores.users.accept_step(held_id, int(step), now_s=NOW_S)


class MailedCode(Race):
    def prepare(self, number: int) -> str:
        word = f"challenge{number}"
        self.stores.challenges.add(
            Challenge(
                word, "em", None, NAME, "", f"browser {word}", f"code {word}", NOW_S, NOW_S + 120,
                f"link {word}", "",
            )
        )  # fmt: skip
        return word

    def attempt(self, word: str, number: int) -> bool:
        return self.stores.challenges.answer(word, [f"code {word}"], now_s=NOW_S)


class MailedLink(MailedCode):
    def attempt(self, word: str, number: int) -> bool:
        return self.stores.challenges.answer(word, [f"link {word}"], now_s=NOW_S)


class CodeAgainstLink(MailedCode):
    def attempt(self, word: str, number: int) -> bool:
        which = "code" if number % 2 else "link"
        return self.stores.challenges.answer(word, [f"{which} {word}"], now_s=NOW_S)


class UnlockLink(Race):
    def __init__(self, stores: SqlStores) -> None:
        super().__init__(stores)
        self.links = Links(stores.links, self.devices, self.ring, self.clock)

    def prepare(self, number: int) -> str:
        word = f"token{number}"
        self.stores.links.add(
            LinkKind.UNLOCK, self.user().id, self.ring.mac(LINK, word),
            now_s=NOW_S, ends_at=NOW_S + 60,
        )  # fmt: skip
        return word

    def attempt(self, word: str, number: int) -> bool:
        link = self.links.look(word)
        return link is not None and bool(self.links.unlock(link, Browser("")))


class EnrolmentLink(UnlockLink):
    """A secret is shown, and all who race know its code."""

    def __init__(self, stores: SqlStores) -> None:
        super().__init__(stores)
        self.enrol_links = EnrolLinks(
            stores.users, stores.links, self.enrolment, self.ring, self.clock, revoke_for_s=60
        )  # fmt: skip

    def prepare(self, number: int) -> str:
        token = self.enrol_links.make(self.user(), 60)
        link = self.links.look(token)
        assert link is not None
        shown = self.enrol_links.begin(link)
        return f"{token}/{shown.id}/{pyotp.TOTP(shown.secret).at(NOW_S)}"

    def attempt(self, word: str, number: int) -> bool:
        token, shown_id, code = word.split("/")
        link = self.links.look(token)
        if link is None:
            return False
        return self.enrol_links.confirm(link, shown_id, code, Browser(""))[1] is not None


class EnrolmentLinkOpenedByAll(EnrolmentLink):
    """Each takes a secret of its own, and so the one of the others away: perhaps nobody enrols."""

    always_one = False

    def prepare(self, number: int) -> str:
        return self.enrol_links.make(self.user(), 60)

    def attempt(self, word: str, number: int) -> bool:
        link = self.links.look(word)
        if link is None:
            return False
        shown = self.enrol_links.begin(link)
        code = pyotp.TOTP(shown.secret).at(NOW_S)
        return self.enrol_links.confirm(link, shown.id, code, Browser(""))[1] is not None


ONCE: dict[str, type[Race]] = {
    "TOTP step": TotpStep,
    "mailed code": MailedCode,
    "mailed link": MailedLink,
    "code against link": CodeAgainstLink,
    "unlock link": UnlockLink,
    "enrolment link": EnrolmentLink,
    "enrolment link opened by all": EnrolmentLinkOpenedByAll,
}


# -- what is counted -------------------------------------------------------------------------------


class Guess(Race):
    """Strangers guess, each from a place of its own."""

    def __init__(self, stores: SqlStores) -> None:
        super().__init__(stores)
        self.throttle = Throttle(stores.attempts, self.ring, self.clock)

    def prepare(self, number: int) -> str:
        self.user()
        return "-"

    def attempt(self, word: str, number: int) -> bool:
        source, device = self.place(number)
        return isinstance(self.throttle.count("totp", NAME, self.user(), source, device), Counted)

    def place(self, number: int) -> tuple[str, Device | None]:
        return f"10.0.0.{number}", None


class GuessFromOneSource(Guess):
    def place(self, number: int) -> tuple[str, Device | None]:
        return "192.0.2.1", None


class GuessOnKnownDevice(Guess):
    def place(self, number: int) -> tuple[str, Device | None]:
        return "192.0.2.1", Device("a device", self.user().id, NOW_S, NOW_S, "")


class GuessAtManyNames(Guess):
    def attempt(self, word: str, number: int) -> bool:
        counted = self.throttle.count("totp", f"name {number}", None, "192.0.2.1", None)
        return isinstance(counted, Counted)


class AskForMails(Guess):
    def attempt(self, word: str, number: int) -> bool:
        source, device = self.place(number)
        return self.throttle.count_sending(NAME, self.user(), source, device) is None


class AskForMailsOnKnownDevice(AskForMails, GuessOnKnownDevice):
    pass


class AskForMailsToManyNames(Guess):
    def attempt(self, word: str, number: int) -> bool:
        return self.throttle.count_sending(f"name {number}", None, "192.0.2.1", None) is None


COUNTED: dict[str, tuple[type[Race], int]] = {
    "guesses of strangers": (Guess, 10),
    "guesses of one source": (GuessFromOneSource, 5),
    "guesses on a known device": (GuessOnKnownDevice, 5),
    "guesses of one source at many names": (GuessAtManyNames, 30),
    "mails for strangers": (AskForMails, 3),
    "mails for a known device": (AskForMailsOnKnownDevice, 3),
    "mails for one source to many names": (AskForMailsToManyNames, 30),
}
"""What is counted: how it is tried, and how often it goes well."""


# -- the processes ---------------------------------------------------------------------------------


def race_of(kind: str) -> type[Race]:
    return ONCE[kind] if kind in ONCE else COUNTED[kind][0]


@contextmanager
def racers(url: str, kind: str, threads: int) -> Iterator[Callable[[str], int]]:
    """database, what is raced for, threads of each process -> function: word -> how many got it"""
    argv = [sys.executable, "-m", "tests.peers.racers", url, kind]
    processes = [
        subprocess.Popen(
            [*argv, str(threads), str(first)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, bufsize=1,
        )
        for first in range(0, PROCESSES * threads, threads)
    ]  # fmt: skip

    def answers() -> list[str]:
        return [process.stdout.readline().strip() for process in processes]  # type: ignore[union-attr]

    def race(word: str) -> int:
        for process in processes:
            process.stdin.write(f"{word}\n")  # type: ignore[union-attr]
        return sum(map(int, answers()))

    try:
        assert answers() == ["ready"] * PROCESSES
        yield race
    finally:
        for process in processes:
            process.communicate(timeout=DONE_S)


def main(url: str, kind: str, threads: str, first: str) -> None:
    race = race_of(kind)(sql_stores_as_they_are(url))
    racing, number = int(threads), int(first)
    together = threading.Barrier(racing)

    def one(word: str, racer: int) -> bool:
        together.wait(timeout=DONE_S)
        try:
            return race.attempt(word, racer)
        except StoreError as error:  # whoever waited too long for the database got nothing
            sys.stderr.write(f"{kind}: {error}\n")
            return False

    with ThreadPoolExecutor(racing) as pool:
        list(pool.map(lambda racer: together.wait(timeout=DONE_S), range(racing)))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for line in sys.stdin:
            got = pool.map(one, [line.strip()] * racing, range(number, number + racing))
            sys.stdout.write(f"{sum(got)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
