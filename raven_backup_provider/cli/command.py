"""The command itself: verbs, logging, errors as one clear message, exit codes."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from raven_backup_provider import __version__
from raven_backup_provider.cli.arguments import output_arguments
from raven_backup_provider.cli.exit_codes import ExitCode, exit_code_of
from raven_backup_provider.cli.output import error_document, print_json, say
from raven_backup_provider.cli.stopping import Stopped
from raven_backup_provider.core.errors import ConfigurationError, RavenBackupError

#: Each verb is a module verb_<name>.py with HELP, add_arguments(parser) and run(arguments) -> exit code.
VERBS = (
    "backup",
    "list",
    "verify",
    "copy",
    "audit",
    "restore",
    "prune",
    "hold",
    "release",
    "config",
    "discover",
    "task",
    "server-task",
    "generate-key",
    "check",
    "remove-guard",
    "vault",
)

_EPILOG = """\
exit codes: 0 done; 1 failed, or something wrong was found; 2 wrong argument, Connection or key;
3 failed now, but the same command can succeed later; 130/143 stopped by Ctrl-C/SIGTERM.

Airflow Connections are read from the environment (AIRFLOW_CONN_<ID>) or the configured secrets backend.
`raven-backup <verb> --help` explains a verb."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Parse, run the verb, turn errors into messages and exit codes."""
    parsed = _parser().parse_args(arguments)
    _set_up_logging(parsed)
    try:
        code = int(import_module(_module(parsed.verb)).run(parsed))
        sys.stdout.flush()  # here, where a reader that is gone is no surprise, and not when Python ends
        return code
    except RavenBackupError as error:
        return _report(error, parsed, exit_code_of(error))
    except Stopped as stopped:
        return _report(stopped, parsed, 128 + stopped.number)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output is gone (| head). Without this, Python would complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except Exception as error:
        if type(error).__name__ == "AirflowNotFoundException":  # by name: Airflow may not be loaded
            return _report(ConfigurationError(_missing_connection(error)), parsed, ExitCode.USAGE)
        return _report(error, parsed, ExitCode.FAILED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="raven-backup",
        description="Take, copy, list, verify, audit, prune and restore RavenDB backups without a running Airflow.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"raven-backup {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    output = output_arguments()
    for name in VERBS:
        module = import_module(_module(name))
        verb = verbs.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            parents=[output],
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(verb)
    return parser


def _module(verb: str) -> str:
    return f"raven_backup_provider.cli.verb_{verb.replace('-', '_')}"


def _set_up_logging(parsed: argparse.Namespace) -> None:
    level = logging.DEBUG if parsed.debug else logging.WARNING if parsed.quiet else logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    ours = logging.getLogger("raven_backup_provider")
    ours.handlers[:] = [handler]
    ours.setLevel(level)
    ours.propagate = False  # Airflow, once imported, configures the root logger for its own purposes


def _report(error: Exception, parsed: argparse.Namespace, code: int) -> int:
    known = isinstance(error, (RavenBackupError, Stopped))
    if parsed.debug:
        traceback.print_exception(type(error), error, error.__traceback__)
    if parsed.json:
        print_json(error_document(error, code))
    elif known:
        say(f"raven-backup: {error}")
    else:
        say(f"raven-backup: unexpected {type(error).__name__}: {error} (--debug shows where)")
    return int(code)


def _missing_connection(error: Exception) -> str:
    return (
        f"{error}. Define the Connection in the environment (AIRFLOW_CONN_<ID in capitals>, as URI or JSON) or in the secrets "
        "backend of Airflow's configuration, or give --url and a path instead."
    )
