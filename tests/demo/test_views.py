"""What the views make of a scene; the whole demo on a terminal is in `test_demo`."""

from __future__ import annotations

import io
from typing import NamedTuple

import pytest
from rich.console import Console

from service.demo.figures import Figures, Part
from service.demo.live import drawn
from service.demo.plain import PlainLines
from service.demo.scene import Options, Phase, Scene, Tone
from service.demo.words import number, percent, seconds_text

_AWAY = Part("redis", "degraded", "redis: ConnectionError")


class _Told(NamedTuple):
    scene: Scene
    clock: list[float]


@pytest.fixture
def told() -> _Told:
    """A scene ten seconds into its stream, which began after two, with a clock to set."""
    clock = [0.0]
    scene = Scene(Options(), lambda: clock[0])
    clock[0] = 2.0
    scene.urls = ("http://127.0.0.1:1/metrics", "http://127.0.0.1:1/stats")
    scene.read(Figures(2.0, status="ok"))
    scene.phase, scene.streaming_since = Phase.STREAMING, 2.0
    clock[0], scene.sent = 12.0, 2400
    scene.read(
        Figures(
            12.0,
            events={("orders", "applied"): 1234, ("customers", "dead"): 5},
            delays=((0.1, 10), (float("inf"), 10)),
            cache_hits=3,
            cache_misses=1,
            pool_size=5,
            pool_in_use=2,
            status="degraded",
            parts=(_AWAY, Part("kafka", "ok", "")),
        )
    )
    scene.letters = (("SchemaViolation", 5),)
    return _Told(scene, clock)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_live_view_shows_everything(told: _Told, width: int, height: int) -> None:
    """On the smallest terminal that counts, and on a large one."""
    told.scene.say("Redis is killed", Tone.FAULT)
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True)
    with console.capture() as capture:
        console.print(drawn(told.scene, height), height=height)
    picture = capture.get()
    for expected in (
        *("10 of 30 s", "1,234", "75 %", "2 of 5", "1,161", "SchemaViolation", "Redis is killed"),
        *("redis: ConnectionError", "http://127.0.0.1:1/metrics", "http://127.0.0.1:1/stats"),
    ):
        assert expected in picture, expected


def test_the_live_view_keeps_the_latest_news(told: _Told) -> None:
    """What no longer fits is the oldest."""
    for index in range(100):
        told.scene.say(f"news {index}.")
    console = Console(width=80, height=24, file=io.StringIO())
    with console.capture() as capture:
        console.print(drawn(told.scene, 24), height=24)
    assert "news 99." in capture.get()
    assert "news 0." not in capture.get()


def test_plain_lines_tell_news_once_and_figures_now_and_then(
    told: _Told, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two looks at the same scene, and a third three seconds later."""
    view = PlainLines()
    told.scene.news.clear()
    told.scene.say("Redis is killed", Tone.FAULT)
    view.show(told.scene)
    view.show(told.scene)
    told.clock[0] += 3
    view.show(told.scene)
    lines = capsys.readouterr().out.splitlines()
    told_by = [
        next(what for what in ("Redis is killed", "look at http", "produced 2400") if what in line)
        for line in lines
    ]
    assert told_by == ["Redis is killed", "look at http", "produced 2400", "produced 2400"]


def test_a_change_of_health_is_news_in_its_own_words(told: _Told) -> None:
    """The view says what /health/ready says, once."""
    told.scene.read(Figures(13.0, status="degraded", parts=(_AWAY,)))  # and still
    assert [news.text for news in told.scene.news] == [
        "/health/ready: degraded (redis: redis: ConnectionError)"
    ]


def test_time_without_readiness_is_counted(told: _Told) -> None:
    """From one reading to the next one that still says so."""
    for second in (13.0, 14.0, 15.0):
        told.scene.read(Figures(second, status="failing"))
    told.scene.read(Figures(16.0, status="ok"))
    assert told.scene.unready_seconds == 3.0


def test_rates_are_those_of_the_last_seconds() -> None:
    """Neither the whole past nor a single reading."""
    scene = Scene(Options(), lambda: 0.0)
    for second in range(20):
        scene.sent = 100 * second if second <= 10 else 1000
        scene.read(Figures(float(second), events={("orders", "applied"): 10 * second}))
    assert (scene.sent_rate, scene.handled_rate) == (0.0, 10.0)


def test_words_for_figures() -> None:
    """Short enough for a panel, exact enough for a person."""
    assert [seconds_text(each) for each in (None, 0.0094, 1.25, 40.2)] == ["-", "9 ms", "1.2 s", "40 s"]
    assert (percent(0.305), number(12345.0)) == ("30 %", "12,345")
