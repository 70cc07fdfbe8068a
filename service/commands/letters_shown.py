"""Dead letters for people and as JSON; called by `upsertd dead-letters`.

What they hold came from outside: every text is escaped before it goes to a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from service.commands.moments import shown_time
from service.commands.terminal import base64_of, described, printable, text_of
from service.stores.dead_letters import PastAction, StoredLetter, WholeLetter

_EPOCH = datetime(1970, 1, 1)


def line_of(letter: StoredLetter) -> str:
    """A letter on one line, without anything of its payload."""
    record = f"{letter.partition}@{letter.offset}"
    when = shown_time(letter.last_failed_at)
    cells = (str(letter.id), f"{letter.status:<10}", record, _subject(letter), letter.error_class, when)
    return printable("  ".join(cells))


def story_of(whole: WholeLetter) -> Iterator[str]:
    """Everything about a letter, line by line; what belongs to the record is indented."""
    letter = whole.letter
    facts = {
        "id": str(letter.id),
        "status": letter.status,
        "record": f"{letter.partition}@{letter.offset}",
        "timestamp": _timestamp(letter.record_timestamp_ms),
        "event id": _event_id(letter) or "-",
        "entity": _subject(letter),
        "stage": letter.stage,
        "error": f"{letter.error_class}: {letter.error_message}",
        "attempts": str(letter.attempts),
        "next attempt": shown_time(letter.next_attempt_at) if letter.next_attempt_at else "-",
        "first failed": shown_time(letter.first_failed_at),
        "last failed": shown_time(letter.last_failed_at),
        "value size": f"{letter.size_bytes} bytes, SHA-256 {letter.digest}",
    }
    for name, fact in facts.items():
        yield f"{name:<14}{printable(fact)}"
    yield from _content_of(whole)
    for past in whole.actions:
        yield f"{past.action.kind:<14}{printable(_story_of(past))}"


def _content_of(whole: WholeLetter) -> Iterator[str]:
    if not whole.kept:
        yield "the record was too large to keep: key, value and headers are not here"
        return
    for name, content in (("key", whole.key), ("value", whole.value)):
        yield from _part(f"{name:<14}", content)
    if whole.corrected is not None:
        yield from _part("corrected     ", whole.corrected)
    yield f"{'headers':<14}{len(whole.headers)}"
    for name, content in whole.headers:
        yield from _part(f"  {printable(name)}: ", content)


def _story_of(past: PastAction) -> str:
    why = f": {past.action.reason}" if past.action.reason else ""
    return f"{shown_time(past.at)} by {past.action.actor}, then {past.status}{why}"


def _part(label: str, content: bytes | None) -> Iterator[str]:
    kind, lines = described(content)
    yield f"{label}{kind}"
    indent = " " * (len(label) - len(label.lstrip()) + 2)
    yield from (f"{indent}{line}" for line in lines)


def _subject(letter: StoredLetter) -> str:
    """`orders/4711`, as far as it is known."""
    entity_id = "-" if letter.entity_id is None else str(letter.entity_id)
    return f"{letter.entity or '-'}/{entity_id}"


def _event_id(letter: StoredLetter) -> str | None:
    return None if letter.event_id is None else letter.event_id.decode("utf-8", "backslashreplace")


def _timestamp(milliseconds: int) -> str:
    try:
        return "-" if milliseconds < 0 else shown_time(_EPOCH + timedelta(milliseconds=milliseconds))
    except OverflowError:
        return f"{milliseconds} ms, which is no date"


# ---------------------------------------------------------------- as JSON


def columns_of(letter: StoredLetter) -> dict[str, object]:
    """The columns of a letter's row by their names, without the record's bytes."""
    return {
        "id": letter.id,
        "event_id": _event_id(letter),
        "entity": letter.entity,
        "entity_id": letter.entity_id,
        "topic": letter.partition.topic,
        "partition_id": letter.partition.number,
        "record_offset": letter.offset,
        "record_timestamp": letter.record_timestamp_ms,
        "size": letter.size_bytes,
        "digest": letter.digest,
        "cluster_id": letter.cluster_id,
        "stage": letter.stage,
        "error_class": letter.error_class,
        "error_message": letter.error_message,
        "attempts": letter.attempts,
        "status": letter.status,
        "next_attempt_at": None if letter.next_attempt_at is None else shown_time(letter.next_attempt_at),
        "first_failed_at": shown_time(letter.first_failed_at),
        "last_failed_at": shown_time(letter.last_failed_at),
    }


def whole_of(whole: WholeLetter) -> dict[str, object]:
    """All columns, and what operators did; bytes as `base64` and, where they are UTF-8, as `text`.

    `kept` says whether they are here.
    """
    headers = [{"name": name, "value": _bytes_of(content)} for name, content in whole.headers]
    return {
        **columns_of(whole.letter),
        "kept": whole.kept,
        "record_key": _bytes_of(whole.key),
        "record_value": _bytes_of(whole.value),
        "record_headers": headers,
        "corrected_value": _bytes_of(whole.corrected),
        "actions": list(map(_action_of, whole.actions)),
    }


def _action_of(past: PastAction) -> dict[str, str | None]:
    action = past.action
    return {
        "action": action.kind,
        "actor": action.actor,
        "reason": action.reason,
        "status": past.status,
        "acted_at": shown_time(past.at),
    }


def _bytes_of(content: bytes | None) -> dict[str, str | None] | None:
    return None if content is None else {"base64": base64_of(content), "text": text_of(content)}
