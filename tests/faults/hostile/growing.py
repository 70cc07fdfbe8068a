"""Valid envelopes in every spelling, of the texts of `column_texts`, for `mutating` to break.

Everything is drawn from one `Random`: the same seed gives the same records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.faults.hostile.cases import CANARY, NOON_MS, Case, Headers
from tests.faults.hostile.column_rules import COLUMNS, LINE_COLUMNS
from tests.faults.hostile.column_texts import DOCUMENTS, MAX_ID, TIMES, VALUES, string
from tests.faults.hostile.reading import SINGULAR, camel

Pairs = list[tuple[str, str]]
"""The members of an object: names as they are, values as JSON texts."""

_NEVER_NULL = ("status", "line_no")


@dataclass(slots=True)
class Draft:
    """An envelope before it is written down; `data` None: there is none, `lines` None: not mentioned."""

    table: str
    envelope: Pairs
    data: Pairs | None
    lines: list[Pairs] | None = None
    blanks: tuple[str, ...] = field(default=("",))

    def objects(self) -> list[Pairs]:
        """Every object in it, for whoever wants to change one."""
        return [self.envelope, *([] if self.data is None else [self.data]), *(self.lines or [])]

    def written(self, rng: Random) -> bytes:
        """The bytes; lone surrogates come out as they would from a careless producer."""
        members = list(self.envelope)
        if self.data is not None:
            members.insert(rng.randrange(len(members) + 1), ("data", self._data(rng)))
        return self._object(rng, members).encode("utf-8", "surrogatepass")

    def _data(self, rng: Random) -> str:
        members = list(self.data or [])
        if self.lines is not None:
            lines = ",".join(self._object(rng, line) for line in self.lines)
            members.insert(rng.randrange(len(members) + 1), ("lines", f"[{lines}]"))
        return self._object(rng, members)

    def _object(self, rng: Random, members: Pairs) -> str:
        blank = rng.choice(self.blanks)
        written = (f"{string(rng, name)}{blank}:{blank}{text}{blank}" for name, text in members)
        return "{" + blank + ",".join(written) + "}"


def draft(rng: Random, table: str, entity_ids: Sequence[int], event_ids: Sequence[str]) -> Draft:
    """A valid event of one of these records, under one of these ids or none."""
    operation = rng.choices(["create", "update", "delete"], [2, 6, 1])[0]
    entity_id = rng.choice(entity_ids)
    envelope: Pairs = [
        ("operation", f'"{operation}"'),
        ("entity_id", f'"{entity_id}"' if rng.random() < 0.2 else str(entity_id)),
        *_sometimes(rng, 0.8, "event_id", string(rng, rng.choice(event_ids))),
        *_sometimes(rng, 0.6, "version", _version(rng)),
        *_sometimes(rng, 0.7, "occurred_at", string(rng, rng.choice(TIMES))),
        *_sometimes(rng, 0.5, "event_type", string(rng, _event_type(rng, table))),
        *_sometimes(rng, 0.3, "source", rng.choice(DOCUMENTS)),
    ]
    rng.shuffle(envelope)
    if operation == "delete" and rng.random() < 0.7:
        return Draft(table, envelope, None)
    made = Draft(table, envelope, _payload(rng, COLUMNS[table]), _lines(rng) if table == "orders" else None)
    if rng.random() < 0.2:
        _recase(made)
    if rng.random() < 0.2:
        made.blanks = ("", " ", "\n\t", "\r")
    return made


def case(rng: Random, made: Draft, headers: Headers = ()) -> Case:
    """The record of a draft, mostly under the key that it should have."""
    entity_id = next(
        (text.strip('"') for name, text in made.envelope if name in ("entity_id", "entityId")), "1"
    )
    digits = entity_id.encode("utf-8", "surrogatepass")
    key = rng.choice([digits, digits, b'"%b"' % digits, None, b"", b"1", b"{}"])
    return Case(made.table, key, made.written(rng), timestamp(rng), headers)


def timestamp(rng: Random) -> int:
    """Kafka's milliseconds, mostly usual ones."""
    odd = (-1, -2, 0, 253_402_300_799_999, -30_610_224_000_000)
    return NOON_MS + rng.randrange(1_000) if rng.random() < 0.8 else rng.choice(odd)


def headers(rng: Random) -> Headers:
    """Mostly few; repeated, null, empty and nameless ones."""
    names = ("trace", "trace", "", "na\u00efve", "\\xff", '"', "\0", "\U0001f600", "\ud800", "n" * 300)
    values = (None, b"", b"\0", b"null", bytes(range(256)), b"\xff\xfe", CANARY.encode())
    return tuple((rng.choice(names), rng.choice(values)) for _ in range(rng.choice([0, 0, 1, 2, 5])))


def _sometimes(rng: Random, chance: float, name: str, text: str) -> Pairs:
    if rng.random() < chance:
        return [(name, text)]
    return [(name, "null")] if rng.random() < 0.2 else []


def _version(rng: Random) -> str:
    # The highest seldom: nothing comes after it.
    return str(rng.choice([0, MAX_ID - 1, MAX_ID]) if rng.random() < 0.03 else rng.randrange(30))


def _event_type(rng: Random, table: str) -> str:
    return rng.choice([f"{table}.changed", f"{SINGULAR[table]}.", "changed", "", f"{table}.a.b"])


def _payload(rng: Random, names: Iterable[str], chance: float | None = None) -> Pairs:
    chance = rng.choice([0.0, 0.3, 0.6, 1.0, 1.0]) if chance is None else chance
    pairs = [(name, _value(rng, name)) for name in names if rng.random() < chance]
    rng.shuffle(pairs)
    return pairs


def _value(rng: Random, name: str) -> str:
    return "null" if name not in _NEVER_NULL and rng.random() < 0.1 else VALUES[name](rng)


def _lines(rng: Random) -> list[Pairs] | None:
    if rng.random() < 0.3:
        return None
    numbers = {VALUES["line_no"](rng) for _ in range(rng.choice([0, 1, 2, 4]))}
    others = [name for name in LINE_COLUMNS if name != "line_no"]
    return [[("line_no", number), *_payload(rng, others, 0.7)] for number in sorted(numbers)]


def _recase(made: Draft) -> None:
    for members in made.objects():
        members[:] = [(camel(name), text) for name, text in members]


ENTITY_IDS: Sequence[int] = (1, 2, 3, 4711, MAX_ID, MAX_ID - 1)
