"""The demo's live view, for a terminal of 80 by 24 characters or more."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from service.demo.figures import OUTCOMES, Part
from service.demo.messages import TOPICS
from service.demo.scene import News, Phase, Scene, Tone
from service.demo.words import number, percent, seconds_text

_STYLES = {"applied": "green", "stale": "yellow", "duplicate": "cyan", "dead": "red"}
_TONES = {Tone.PLAIN: "", Tone.FAULT: "yellow", Tone.RELIEF: "green"}
_HEALTH = {"ok": "green", "degraded": "yellow", "failing": "red"}
_BARS = "▁▂▃▄▅▆▇█"
_BARS_NUMBER = 30
_HIGH = 30  # lines from which there is room for more
_URL_COLUMNS = 2


class LiveView:
    """Shows a scene on the whole terminal, and gives the terminal back as it was."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._live.stop()

    def show(self, scene: Scene) -> None:
        """Draw it anew."""
        self._live.update(drawn(scene, self._console.height), refresh=True)


def drawn(scene: Scene, height: int) -> Layout:
    """The whole picture; on a high terminal there is more news and more dead letters."""
    layout = Layout()
    layout.split_column(
        Layout(_head(scene), size=2, name="head"),
        Layout(size=7 if height < _HIGH else 9, name="events"),
        Layout(size=6 if height < _HIGH else 9, name="parts"),
        Layout(_news(scene), name="news"),
        Layout(_foot(scene), size=3, name="foot"),
    )
    layout["events"].split_row(
        Layout(_panel("events", _events(scene)), ratio=5),
        Layout(
            _panel("flow", Group(_flow(scene), "", _sparkline(scene.handled_rates(_BARS_NUMBER)))), ratio=3
        ),
    )
    layout["parts"].split_row(
        Layout(_panel("cache (Redis)", _cache(scene))),
        Layout(_panel("database (SQLite)", _database(scene))),
        Layout(_panel("dead letters", _letters(scene))),
    )
    return layout


def _panel(title: str, content: RenderableType) -> Panel:
    return Panel(content, title=title, title_align="left", border_style="dim")


def _head(scene: Scene) -> RenderableType:
    options = scene.options
    line = Table.grid(expand=True)
    line.add_column()
    line.add_column(justify="right", style="dim")
    line.add_row(
        Text.assemble((" upsertd demo ", "bold reverse"), f" {_phase(scene)}"),
        f"seed {options.seed} · {options.rate}/s · {percent(options.duplicates)} duplicates ",
    )
    return Group(line, ProgressBar(total=options.seconds, completed=scene.streamed_seconds))


def _phase(scene: Scene) -> str:
    if scene.phase is Phase.STREAMING:
        return f"{scene.streamed_seconds:.0f} of {scene.options.seconds:g} s"
    return f"{scene.phase.value} …"


def _events(scene: Scene) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column()
    for outcome in OUTCOMES:
        table.add_column(justify="right", style=_STYLES[outcome])
    table.add_row("", *OUTCOMES)
    for topic in TOPICS:
        table.add_row(topic, *(number(scene.figures.count(outcome, topic)) for outcome in OUTCOMES))
    totals = (Text(number(scene.figures.count(outcome)), style="bold") for outcome in OUTCOMES)
    table.add_row(Text("all", style="bold"), *totals)
    return table


def _flow(scene: Scene) -> RenderableType:
    return _pairs(
        ("produced", number(scene.sent)),
        ("in, out", f"{scene.sent_rate:.0f}/s, {scene.handled_rate:.0f}/s"),
        ("lag", number(scene.lag)),
        ("delay p50", seconds_text(scene.delay(0.5))),
        ("delay p99", seconds_text(scene.delay(0.99))),
    )


def _sparkline(rates: list[float]) -> Text:
    """Events a second, reading by reading: only a high terminal has room for it."""
    top = max(rates, default=0) or 1
    bars = (_BARS[round(rate / top * (len(_BARS) - 1))] for rate in rates)
    return Text("".join(bars), style="green", no_wrap=True, justify="right")


def _cache(scene: Scene) -> RenderableType:
    figures = scene.figures
    return _pairs(
        ("hit rate", percent(figures.hit_rate)),
        ("hits", number(figures.cache_hits)),
        ("misses", number(figures.cache_misses)),
        ("no answer", number(figures.cache_errors)),
    )


def _database(scene: Scene) -> RenderableType:
    figures = scene.figures
    return _pairs(
        ("pool", f"{figures.pool_in_use} of {figures.pool_size}"),
        ("at most", f"{figures.pool_peak}"),
        ("statements", f"{scene.statement_rate:.0f}/s"),
        ("per event", f"{figures.statements / max(1, figures.handled):.2f}"),
    )


def _letters(scene: Scene) -> RenderableType:
    return _pairs(*((name, number(count)) for name, count in scene.letters))


def _pairs(*pairs: tuple[str, str]) -> Table:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for name, value in pairs:
        table.add_row(name, value)
    return table


def _news(scene: Scene) -> RenderableType:
    """The latest news that fits, the newest last."""
    return Panel(_Tail(scene.news), title="what happens", title_align="left", border_style="dim")


class _Tail:
    """As many of the last lines as there is room for."""

    def __init__(self, news: list[News]) -> None:
        self._news = news

    def __rich_console__(self, console: Console, options: object) -> list[RenderableType]:
        height = getattr(options, "height", None) or len(self._news)
        return [
            Text(
                f"{news.second:5.1f} s  {news.text}",
                style=_TONES[news.tone],
                no_wrap=True,
                overflow="ellipsis",
            )
            for news in self._news[-height:]
        ]


def _foot(scene: Scene) -> RenderableType:
    return Group(_health(scene), *_urls(scene.urls))


def _health(scene: Scene) -> Text:
    if not scene.answers:
        return Text(" not answering yet", style="dim")
    status = scene.figures.status
    label = (f" {status} ", f"bold reverse {_HEALTH.get(status, '')}")
    line = Text.assemble(" health ", label, no_wrap=True, overflow="ellipsis")
    for part in scene.figures.troubles or scene.figures.parts:
        line.append(f" {_told(part)} ")
    return line


def _told(part: Part) -> str:
    return f"{part.name}: {part.reason}" if part.reason else part.name


def _urls(urls: tuple[str, ...]) -> list[Text]:
    pairs = [urls[at : at + _URL_COLUMNS] for at in range(0, len(urls), _URL_COLUMNS)]
    return [
        Text(" " + "   ".join(f"{url:<36}" for url in pair), style="blue", no_wrap=True) for pair in pairs
    ]
