"""How the demo keeps to its rate."""

from __future__ import annotations

from service.demo.play import _Pace

_PLENTY = 10**6


def test_the_rate_is_kept_over_uneven_looks() -> None:
    """Whenever somebody looks, what has become due since then is sent."""
    now = [0.0]
    pace = _Pace(10, lambda: now[0])
    sent = 0
    for now[0] in (0.05, 0.5, 0.58, 1.2, 2.0):
        sent += pace.due(_PLENTY)
    assert sent == 20


def test_no_more_than_there_is_room_for() -> None:
    """What was held back comes as soon as there is room, but for what is older than a second."""
    now = [0.0]
    pace = _Pace(10, lambda: now[0])
    now[0] = 5.0
    assert [pace.due(-3), pace.due(4), pace.due(_PLENTY), pace.due(_PLENTY)] == [0, 4, 6, 0]
