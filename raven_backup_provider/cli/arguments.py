"""Arguments that several verbs share: the server, the destination, the keys, the output.

No key and no password is ever taken as an argument's value: every user of the machine can read a process's command line.
They come from a file, an environment variable or an Airflow Connection.
"""

from __future__ import annotations

import argparse

DEFAULT_CONN = "ravendb_default"


def add_server(parser: argparse.ArgumentParser) -> None:
    """Which RavenDB server: an Airflow Connection, or everything given directly."""
    group = parser.add_argument_group(
        "RavenDB server",
        f"Either an Airflow Connection (default: {DEFAULT_CONN}) or --url. With --url Airflow is not even loaded.",
    )
    group.add_argument(
        "--conn", metavar="ID", help="Airflow Connection of type ravendb (environment or secrets backend)"
    )
    group.add_argument("--url", action="append", metavar="URL", help="node URL; repeat it for the nodes of a cluster")
    group.add_argument(
        "--certificate", metavar="FILE", help="client certificate with its private key: .pem, or .pfx / .p12"
    )
    group.add_argument(
        "--certificate-password-file", metavar="FILE", help="file with the password of the certificate's private key"
    )
    group.add_argument("--ca", metavar="FILE", help="PEM file of the CA(s) to trust instead of the system's")
    group.add_argument(
        "--insecure",
        action="store_true",
        help="do not check the server's certificate: anybody on the way can then read along",
    )


def add_database(parser: argparse.ArgumentParser, help_text: str, *, required: bool) -> None:
    """The database by name."""
    parser.add_argument("--database", metavar="NAME", required=required, help=help_text)


def add_database_of_server(parser: argparse.ArgumentParser, help_text: str) -> None:
    """The database of the server that :func:`add_server` names; :func:`..clients.database_name` says which one is meant."""
    parser.add_argument(
        "--database",
        metavar="NAME",
        help=f"{help_text} (default: the Connection's default database, or the one in --url http://host:8080/databases/NAME)",
    )


def add_destination(parser: argparse.ArgumentParser) -> None:
    """Where the backups are."""
    group = parser.add_argument_group("destination")
    group.add_argument(
        "--destination",
        required=True,
        metavar="PLACE",
        help="folder that holds the backups: a path (with a slash, such as ./backups), a file:// URI, or the id of an "
        "Airflow Connection",
    )
    group.add_argument(
        "--server-path",
        metavar="PATH",
        help="the same folder as the RavenDB server sees it, where that differs (engine and mode 'server')",
    )


def add_destinations(parser: argparse.ArgumentParser, help_text: str, *, name: str = "--destination") -> None:
    """Several places."""
    group = parser.add_argument_group("destinations")
    group.add_argument(
        name,
        action="append",
        required=True,
        metavar="PLACE",
        help=f"{help_text}; repeat it. A path (with a slash, such as ./backups), a file:// URI, the id of an Airflow Connection, "
        "or scheme://connection_id@place/path",
    )


def add_retrieval(parser: argparse.ArgumentParser) -> None:
    """Files that lie in an archive."""
    group = parser.add_argument_group("archive")
    group.add_argument(
        "--retrieve",
        nargs="?",
        const="",
        metavar="TIER",
        help="ask for files that lie in an archive (at the store's standard speed, or that of the tier named) and end with exit "
        "code 3; run the same command again when they can be read",
    )
    group.add_argument(
        "--retrieve-days",
        type=positive_int,
        default=3,
        metavar="N",
        help="how long the readable copies are kept (default: 3)",
    )


def add_key(parser: argparse.ArgumentParser, purpose: str, *, several: bool = False) -> None:
    """The encryption key."""
    group = parser.add_argument_group("encryption key", purpose)
    one = group if several else group.add_mutually_exclusive_group()
    action = "append" if several else "store"
    again = "; may be repeated" if several else ""
    one.add_argument(
        "--key-conn", action=action, metavar="ID", help=f"Airflow Connection with the base64 key as password{again}"
    )
    one.add_argument("--key-file", action=action, metavar="FILE", help=f"file with the base64 key, - for stdin{again}")
    one.add_argument(
        "--key-env", action=action, metavar="VARIABLE", help=f"environment variable with the base64 key{again}"
    )


def add_signing_key(parser: argparse.ArgumentParser) -> None:
    """The key that manifests are signed and checked with."""
    group = parser.add_argument_group("signing key", "Signs manifests, and refuses those not signed with it.")
    one = group.add_mutually_exclusive_group()
    one.add_argument("--signing-key-conn", metavar="ID", help="Airflow Connection with the base64 key as password")
    one.add_argument("--signing-key-file", metavar="FILE", help="file with the base64 key")
    one.add_argument("--signing-key-env", metavar="VARIABLE", help="environment variable with the base64 key")


def output_arguments(default: object = False) -> argparse.ArgumentParser:
    """How much is said, and in what form; a parent of every verb's parser.

    :param default: of each switch; ``argparse.SUPPRESS`` where a verb's action takes them again.
    """
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("output")
    group.add_argument(
        "--json", action="store_true", default=default, help="one JSON document on stdout, also for an error"
    )
    group.add_argument("-q", "--quiet", action="store_true", default=default, help="no progress on stderr")
    group.add_argument(
        "--debug", action="store_true", default=default, help="everything on stderr, and a traceback with an error"
    )
    return parser


def positive_int(text: str) -> int:
    """A whole number above 0."""
    if (number := int(text)) <= 0:
        raise ValueError(text)
    return number


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def duration(text: str) -> float:
    """Seconds out of texts like ``90s``, ``12h``, ``7d``; a bare number is refused, for its unit would be a guess."""
    number, unit = text[:-1], text[-1:].lower()
    if unit not in _UNITS or not (seconds := float(number) * _UNITS[unit]) > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90s, 30m, 12h, 7d or 4w")
    return seconds
