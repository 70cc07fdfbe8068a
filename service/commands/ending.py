"""How a command ends: the exit code, and at most one line on stderr.

`service.__main__` runs every command inside `exit_code`. 0: done. 2: wrong usage or wrong settings. 1: any
other failure. 130: interrupted. No traceback, no values: the line names the class and what is safe to say
of it; with LOG_LEVEL=DEBUG the frames stand above it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import TextIO, cast

import click

from service.core.errors import UpsertdError
from service.telemetry.failures import story, summary

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130


class Failed(Exception):
    """The command could not do what it was asked for; the message says why, in a line for people."""


def exit_code(command: Callable[[], int | None]) -> int:
    """Run `command` and flush what it wrote; tell a failure on stderr. Returns the process's exit code."""
    try:
        code = command()
        sys.stdout.flush()
    except click.exceptions.Exit as ending:
        code = _flushed(ending.exit_code)
    except BrokenPipeError:
        # `| head` has what it wanted. Adapters translate their own broken connections.
        _discard(sys.stdout)
        return DONE
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the end of the program: told, and turned into an exit code
        return _tell(_single(error))
    return code or DONE


def _tell(error: Exception) -> int:
    code, line = _verdict(error)
    try:
        if code == FAILED and _is_debugging():
            click.echo("\n".join(_frames(error)), err=True)
        click.echo(f"upsertd: {' '.join(line.split())}", err=True)
        sys.stdout.flush()
    except OSError:
        _discard(sys.stdout)
    return code


def _is_debugging() -> bool:
    from service.settings import LogSettings, SettingsError, load_group  # noqa: PLC0415 - as in `_verdict`

    try:
        return load_group(LogSettings).level == "DEBUG"
    except SettingsError:
        return False


def _frames(error: Exception) -> Iterator[str]:
    """The error and what caused it, each with where it came from."""
    for chapter in story(error):
        yield str(chapter["error"])
        yield from (f"  at {frame}" for frame in cast(list[str], chapter["frames"]))


def _verdict(error: Exception) -> tuple[int, str]:
    """The exit code of a failure, and what to say of it."""
    if isinstance(error, click.UsageError):
        return WRONG, _usage_line(error)
    # Loaded only now, and by then most of it is: `--help` needs no client of Kafka and SQL.
    from service.commands.words import plain_words  # noqa: PLC0415 - see above
    from service.settings import SettingsError  # noqa: PLC0415 - see above

    if isinstance(error, SettingsError):
        return WRONG, str(error)
    if isinstance(error, Failed):
        return FAILED, str(error)
    if isinstance(error, UpsertdError):
        return FAILED, plain_words(error)
    if isinstance(error, OSError):
        return FAILED, summary(error)
    return FAILED, f"unexpected {summary(error)} (LOG_LEVEL=DEBUG shows where)"


def _usage_line(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "upsertd"
    where = path.removeprefix("upsertd").strip()
    told = f"{where}: {error.format_message()}" if where else error.format_message()
    return f"{told.rstrip('.')} (see {path} --help)"


def _single(error: Exception) -> Exception:
    """What a task group wrapped, where that is one exception."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
    return code


def _discard(stream: TextIO) -> None:
    """Let what is still buffered go nowhere: Python would try to write it once more at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
