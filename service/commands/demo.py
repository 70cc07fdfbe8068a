"""`upsertd demo`: the whole service on embedded parts, with generated traffic and faults, in a live view.

What happens is in `service.demo`; this is its command line: options, signals, which view, the summary.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from service.commands.ending import DONE, FAILED, Failed
from service.commands.opening import configure_brief_logging
from service.demo.failure import DemoFailed, Interrupted

if TYPE_CHECKING:
    from service.demo.live import LiveView
    from service.demo.plain import PlainLines
    from service.demo.play import Ending
    from service.demo.scene import Options

_EXTRA = ("confluent_kafka", "rich")


@click.command(
    epilog="""\b
Examples:
  upsertd demo
  upsertd demo --seconds 120 --rate 500
  upsertd demo --seed 7 --duplicates 60
  upsertd demo | cat          plain lines instead of the live view

Runs the real service on embedded parts (a Kafka inside this process, a redis-server, a SQLite file), takes
Redis away and locks the database on the way, and compares the database with a model at the end: yes or no.
Needs no server, no root, no settings, and leaves nothing behind. Ctrl-C ends the stream early, once more ends
everything at once. Exits 0 on yes, 1 on no."""
)
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=30, show_default=True, help="How long records flow."
)
@click.option(
    "--rate", type=click.IntRange(1, 2000), default=200, show_default=True, help="Records a second."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, another stream.")
@click.option(
    "--duplicates",
    type=click.IntRange(0, 90),
    default=30,
    show_default=True,
    help="Percent of the records that are copies.",
)
def demo(seconds: float, rate: int, seed: int, duplicates: int) -> int:
    """Show it all on embedded parts, with traffic and faults."""
    if any(find_spec(package) is None for package in _EXTRA):
        raise Failed("the demo needs more packages: pip install 'upsertd[demo]'")
    from service.demo.scene import Options  # noqa: PLC0415 - needs the extra
    from service.demo.summary import summary  # noqa: PLC0415 - needs the extra

    configure_brief_logging()
    ending = _played(Options(seconds, rate, seed, duplicates / 100))
    for line in summary(ending):
        click.echo(line)
    return DONE if ending.verdict.equal else FAILED


def _played(options: Options) -> Ending:
    try:
        with _view() as view:
            return asyncio.run(_play(options, view))
    except DemoFailed as failure:
        raise Failed(str(failure)) from failure
    except (Interrupted, asyncio.CancelledError) as interruption:
        raise click.Abort from interruption


def _view() -> LiveView | PlainLines:
    from rich.console import Console  # noqa: PLC0415 - needs the extra

    from service.demo.live import LiveView  # noqa: PLC0415 - needs the extra
    from service.demo.plain import PlainLines  # noqa: PLC0415 - needs the extra

    console = Console()
    is_live = sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal
    return LiveView(console) if is_live else PlainLines()


async def _play(options: Options, view: LiveView | PlainLines) -> Ending:
    from service.demo.play import play  # noqa: PLC0415 - needs the extra

    interrupted = asyncio.Event()
    _listen(interrupted)
    return await play(options, view.show, interrupted)


def _listen(interrupted: asyncio.Event) -> None:
    """The first SIGINT or SIGTERM ends the stream, the next one everything; a closed terminal does, too."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - called by a coroutine

    def hear() -> None:
        if interrupted.is_set():
            task.cancel()
        interrupted.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, hear)
    loop.add_signal_handler(signal.SIGHUP, task.cancel)
