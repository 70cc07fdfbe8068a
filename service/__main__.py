"""The command line: `upsertd`, and `python -m service`, which is the same.

Loads only the command that is asked for: `--help` need not wait for clients of Kafka and SQL. How a command
ends, and what it says then, is in `service.commands.ending`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import cast

import click

from service.commands.ending import exit_code

# Name: module and object, and what the list of commands says of it.
COMMANDS = {
    "run": ("service.commands.run:run", "Consume change events until SIGTERM or SIGINT."),
    "migrate": ("service.commands.migrate:migrate", "Bring the database to the newest schema."),
    "check": ("service.commands.check:check", "Try the database, its schema, Redis, Kafka and the topics."),
    "positions": ("service.commands.positions:positions", "Show where every partition stands, or move one."),
    "dead-letters": (
        "service.commands.dead_letters:dead_letters",
        "Look at the events that were given up, try them again, or close them.",
    ),
    "replay": ("service.commands.replay:replay", "Read a range of a topic again."),
    "demo": ("service.commands.demo:demo", "Show it all on embedded parts, with traffic and faults."),
}


class Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        return cast(click.Command, getattr(import_module(module), name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.command(
    cls=Commands,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  upsertd check
  upsertd migrate
  upsertd run
  upsertd COMMAND --help

All settings are environment variables: see docs/configuration.md.""",
)
@click.version_option(package_name="upsertd", message="%(package)s %(version)s")
def upsertd() -> None:
    """Change events from Kafka into SQL, exactly once in effect."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets it escaped, not a traceback.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    return exit_code(lambda: _invoke(given))


def _invoke(arguments: list[str]) -> int | None:
    with upsertd.make_context("upsertd", arguments) as context:
        code: int | None = upsertd.invoke(context)
        return code


if __name__ == "__main__":
    sys.exit(main())
