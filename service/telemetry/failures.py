"""How an exception may be told: its class, where it came from, and a message only where it holds no data.

A driver's message quotes values and parameters, a decoder's the record: personal data in a log (I9). Used
by everything that logs or shows an exception; dead letters have texts of their own.
"""

from __future__ import annotations

import os
import socket
import ssl
import traceback
from collections.abc import Iterator
from pathlib import PurePath
from types import FrameType

from service.core.errors import UpsertdError

MAX_CHAIN = 10
MAX_GROUP = 5
MAX_FRAMES = 20

# The first argument of their exceptions is the server's code. Elsewhere it may be a value: KeyError(4711).
_CODED = frozenset({"pymysql", "aiomysql"})


def summary(error: BaseException) -> str:
    """One line: the class, and what may be said beside it."""
    message = _message(error)
    return f"{_class_name(error)}: {message}" if message else _class_name(error)


def story(error: BaseException) -> list[dict[str, object]]:
    """The exception and what caused it, outermost first: `error`, `frames`, for groups `exceptions`."""
    return [_chapter(link) for link in _chain(error)]


def _chapter(error: BaseException) -> dict[str, object]:
    chapter: dict[str, object] = {"error": summary(error), "frames": _frames(error)}
    if isinstance(error, BaseExceptionGroup):
        chapter["exceptions"] = [story(part) for part in error.exceptions[:MAX_GROUP]]
    return chapter


def _chain(error: BaseException) -> Iterator[BaseException]:
    told: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in told and len(told) < MAX_CHAIN:
        told.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _message(error: BaseException) -> str:
    if isinstance(error, UpsertdError):
        return str(error)
    if isinstance(error, ssl.SSLError):
        return str(error.reason or "")
    if isinstance(error, socket.gaierror):
        return str(error.strerror or "")
    if isinstance(error, OSError):
        # By the number: the text beside it is whatever the one who raised it wrote there.
        return os.strerror(error.errno) if error.errno else ""
    return _code(error)


def _code(error: BaseException) -> str:
    package = type(error).__module__.partition(".")[0]
    code = error.args[0] if error.args else None
    return f"code {code}" if package in _CODED and isinstance(code, int) else ""


def _class_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _frames(error: BaseException) -> list[str]:
    frames = [_place(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return frames if len(frames) <= MAX_FRAMES else ["...", *frames[-MAX_FRAMES:]]


def _place(frame: FrameType, line: int) -> str:
    """`service/pipeline/run.py:42 Lane.step`: the file as far as its module's name reaches."""
    path = PurePath(frame.f_code.co_filename)
    depth = str(frame.f_globals.get("__name__", "")).count(".") + (2 if path.stem == "__init__" else 1)
    return f"{'/'.join(path.parts[-depth:])}:{line} {frame.f_code.co_qualname}"
