"""The ``factored`` command, and the names of 1.x as short forms of it."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from factored import __version__
from factored.interfaces import FactoredError, UserExists
from factored.names import BadName
from factored.scripts import bulk, inifile, installation, output, users
from factored.services.users import NoSuchUser

DONE, FAILED, USAGE, NO_SUCH_USER, EXISTS = range(5)
"""Exit statuses; argparse itself ends with USAGE."""

EXAMPLES = """\
examples:
  factored init production.ini                               make the database and the key files
  factored user add production.ini --username=al@example.com show a QR code to enrol al
  factored check production.ini                              is everything well?

INI may name the section too: production.ini#secure. Exit: 0 done, 1 failed, 2 usage,
3 no such user, 4 exists already."""

Command = Callable[[argparse.Namespace, inifile.Ini], int]


def main(argv: Sequence[str] | None = None) -> int:
    """command line -> exit status"""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # a terminal without UTF-8 must not stop us half way
    args = _parser().parse_args(argv)
    try:
        command: Command = args.command
        ini = inifile.read(args.ini)
        inifile.set_up_logging(ini.path)
        return command(args, ini)
    except NoSuchUser as error:
        return _failed(error, NO_SUCH_USER)
    except UserExists as error:
        return _failed(f"{str(error)!r} is a user already, perhaps in another spelling", EXISTS)
    except BadName as error:
        return _failed(error, FAILED)
    except FactoredError as error:
        return _failed("\n".join(getattr(error, "problems", ()) or [str(error)]), FAILED)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(f"{where}{error.strerror or error}", FAILED)
    except KeyboardInterrupt:
        return _failed("interrupted", FAILED)


def _failed(reason: object, status: int) -> int:
    output.say(f"factored: {reason}")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="factored",
        description="Another factor of authentication in front of a web application.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"factored {__version__}")
    top = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    _verb(top, "init", installation.init, "make or upgrade the database, make missing key files")
    _verb(top, "check", installation.check, "look at settings, database, keys, mail and clock")

    user = _group(
        top, "user",
        "users: add, invite, remove, list, show, unlock, reset, disable, enable, import, export",
    )  # fmt: skip
    verb = _user_verb(user, "add", users.add, "create a user and show a QR code to enrol")
    verb.add_argument(
        "--qr", metavar="FILE", type=_picture, help="write the QR code to .png or .svg"
    )
    verb.add_argument("--invite", action="store_true", help="print a link to enrol, not the secret")
    verb.add_argument("--mail", action="store_true", help="with --invite: mail the link instead")
    verb = _user_verb(user, "invite", users.invite, "print or mail a link to enrol; adds the user")
    verb.add_argument("--mail", action="store_true", help="mail the link to the user")
    _user_verb(user, "remove", users.remove, "remove a user and end the open tickets")
    _verb(user, "list", users.list_all, "print every user name")
    verb = _user_verb(user, "show", users.show, "print what is known of a user")
    verb.add_argument("--show-secret", action="store_true", help="print the TOTP secret too")
    _user_verb(user, "unlock", users.unlock, "print a one-time link that makes a browser known")
    _user_verb(user, "reset", users.reset, "print a one-time link to set up a new authenticator")
    _user_verb(user, "disable", users.disable, "keep a user out, and end the open tickets")
    _user_verb(user, "enable", users.enable, "let a disabled user in again")
    verb = _verb(user, "import", bulk.import_users, "make users of a CSV file or an export")
    verb.add_argument(
        "file", metavar="FILE", help="CSV with a header line, or an export; - is stdin"
    )
    verb.add_argument("--atomic", action="store_true", help="import nobody if a line is refused")
    _passphrase_options(verb)
    verb.epilog = (
        f"{verb.epilog} users.csv\n\n"
        "  username,secret,label,disabled        only username is required\n"
        "  al@example.com,JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP,Phone,no"
    )
    verb = _verb(user, "export", bulk.export_users, "write all users to a file that import reads")
    verb.add_argument(
        "file", metavar="FILE", nargs="?", default=bulk.STANDARD,
        help="a new file; - or nothing is stdout",
    )  # fmt: skip
    verb.add_argument(
        "--without-secrets", action="store_true",
        help="leave the authenticators out, and ask for no passphrase",
    )  # fmt: skip
    _passphrase_options(verb)
    verb.epilog = f"{verb.epilog} users.jsonl"

    key = _group(top, "keys", "rotate keys in two steps: add, then promote; then reencrypt")
    for name, command, text in (
        ("add", installation.keys_add, "put a new key in second place, where it verifies only"),
        ("promote", installation.keys_promote, "let the added key sign from now on"),
    ):
        verb = _verb(key, name, command, text)
        verb.add_argument(
            "--of", choices=("key_file", "auth_tkt.secret_file"), default="key_file",
            help="which key list (default: key_file)",
        )  # fmt: skip
    _verb(key, "reencrypt", users.reencrypt, "encrypt all stored secrets with the newest key")
    return parser


Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _group(parent: Subparsers, name: str, text: str) -> Subparsers:
    group = parent.add_parser(name, help=text, description=text)
    return group.add_subparsers(title="verbs", required=True, metavar="VERB")


def _verb(parent: Subparsers, name: str, command: Command, text: str) -> argparse.ArgumentParser:
    verb = parent.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".",
        epilog=f"example:\n  {_example(parent, name)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    verb.add_argument("ini", metavar="INI", help="the ini file, or FILE#SECTION")
    verb.add_argument("--json", action="store_true", help="print one JSON document")
    verb.set_defaults(command=command)
    return verb


def _user_verb(
    parent: Subparsers, name: str, command: Command, text: str
) -> argparse.ArgumentParser:
    verb = _verb(parent, name, command, text)
    verb.add_argument("--username", required=True, metavar="NAME")
    verb.epilog = f"{verb.epilog} --username=al@example.com"
    return verb


def _passphrase_options(verb: argparse.ArgumentParser) -> None:
    either = verb.add_mutually_exclusive_group()
    either.add_argument(
        "--passphrase-file", metavar="FILE", help="its first line; else it is asked for"
    )
    either.add_argument("--passphrase-env", metavar="NAME", help="an environment variable")


def _example(parent: Subparsers, name: str) -> str:
    return f"{parent._prog_prefix} {name} production.ini"


def _picture(text: str) -> str:
    if not text.lower().endswith((".png", ".svg")):
        raise argparse.ArgumentTypeError(f"{text!r} must end in .png or .svg")
    return text


def _short(*words: str) -> int:
    return main([*words, *sys.argv[1:]])


def initializedb() -> int:
    """``initializedb INI`` of 1.x -> ``factored init INI``"""
    return _short("init")


def adduser() -> int:
    """``adduser INI --username=U`` of 1.x -> ``factored user add``"""
    return _short("user", "add")


def removeuser() -> int:
    """``removeuser INI --username=U`` of 1.x -> ``factored user remove``"""
    return _short("user", "remove")


def listusers() -> int:
    """``listusers INI`` of 1.x -> ``factored user list``"""
    return _short("user", "list")


def listuserinfo() -> int:
    """``listuserinfo INI --username=U`` of 1.x -> ``factored user show``"""
    return _short("user", "show")
