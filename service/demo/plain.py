"""The demo where there is no terminal: plain lines, one every few seconds, and one for each piece of news."""

from __future__ import annotations

import click

from service.demo.figures import OUTCOMES
from service.demo.scene import Phase, Scene
from service.demo.words import percent, seconds_text

LINE_SECONDS = 3.0


class PlainLines:
    """Shows a scene line by line on stdout."""

    def __init__(self) -> None:
        self._told = 0
        self._urls: tuple[str, ...] = ()
        self._line_at = 0.0

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(self, *_failure: object) -> None:
        pass

    def show(self, scene: Scene) -> None:
        """Print what is new."""
        for news in scene.news[self._told :]:
            click.echo(f"{news.second:5.1f} s  {news.text}")
        self._told = len(scene.news)
        if scene.urls != self._urls:
            self._urls = scene.urls
            click.echo(f"         look at {' '.join(scene.urls)}")
        if scene.phase in (Phase.STREAMING, Phase.DRAINING) and scene.second >= self._line_at:
            self._line_at = scene.second + LINE_SECONDS
            click.echo(status_line(scene))


def status_line(scene: Scene) -> str:
    """Everything in one line."""
    figures = scene.figures
    outcomes = " ".join(f"{outcome} {figures.count(outcome)}" for outcome in OUTCOMES)
    delays = (seconds_text(scene.delay(share)) for share in (0.5, 0.99))
    return (
        f"{scene.second:5.1f} s  produced {scene.sent} {outcomes} | lag {scene.lag}"
        f" | cache {percent(figures.hit_rate)} | pool {figures.pool_in_use}/{figures.pool_size}"
        f" | {scene.handled_rate:.0f}/s, delay p50 {' p99 '.join(delays)}"
        f" | {figures.status if scene.answers else 'no answer'}"
    )
