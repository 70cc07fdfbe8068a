"""Breaking what `growing` made: members of a document, bytes of a record, keys; or leaving it as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from tests.faults.hostile import growing
from tests.faults.hostile.cases import CANARY, CANARY_DIGITS, Case
from tests.faults.hostile.column_texts import VALUES
from tests.faults.hostile.growing import Draft, Pairs
from tests.faults.hostile.reading import SINGULAR, camel

# Texts that stand where a value should: of another type, just beyond a limit, or no JSON at all.
HOSTILE_TEXTS = (
    *("null", "true", "false", "0", "-0", "-1", "1.0", "1e0", "1.5", '""', "{}", "[]", "[1]", '{"a":1}'),
    *("[null]", str(2**31), str(-(2**31) - 1), str(2**63), str(2**63 - 1), str(2**64), "9" * 400),
    *("-" + "9" * 30, "1e400", "-1e400", "1e-400", "0e99999999999999999999", "0.00001"),
    *("100000000000000", "1e14", "1.00005", "99999999999999.99995", f"{CANARY_DIGITS}{CANARY_DIGITS}"),
    *(f'"{CANARY_DIGITS}.x"', '"NaN"', '"1e999"', "NaN", "Infinity", "-Infinity", "nul", "tru", "01"),
    *("1.", ".5", "+1", "-", "1e", "0x10", "1_0", "--1", f'"{CANARY}"', f'["{CANARY}"]'),
    *(f'"{CANARY}' + "x" * 400 + '"', "'a'", '"' + "\U0001f600" * 256 + '"', '"\\u0000"'),
    *('"a\\\\\\u0000"', '"\\\\u0000"', '"\0"', '"a\x01b"', '"\x1f"', '"a\tb"', '"a\nb"', '"\x7f"'),
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\ud800\\u0041"', '"\\ud83d\\ude00"', '"\ud800"', '"\udfff"'),
    *('"\\x41"', '"\\u12g4"', '"\\u+123"', '"\\u 123"', '"\\U0041"', '"\\u004"', '"\\"', '"\\', '"'),
    *('"a', '\ufeff"a"', '"0000-00-00T00:00:00Z"', '"2026-02-30T00:00:00Z"', '"2026-01-01T24:00:00Z"'),
    *('"2026-01-01T00:00:60Z"', '"0999-12-31T23:59:59Z"', '"9999-12-31T23:59:59-00:01"'),
    *('"0001-01-01T00:00:00+00:01"', '"2026-01-01"', '"2026-1-1T00:00:00Z"'),
    *('"2026-01-01T00:00:00+24:00"', '"2026-01-01T00:00Z"', '"+2026-01-01T00:00:00Z"'),
    *('"2026-01-01T00:00:00.Z"', '"2026-01-01T00:00:00+0100"', '"\uff12026-01-01T00:00:00Z"', '" 1"'),
    *('"1 "', '"\uff11"', '"\u0661"', '"1_0"', '"+1"', '"-5"', '"0"', '"00017"', '"0x1"', '"1."', '".5"'),
    *('"1e1"', '"1,5"', '"eur"', '"EURO"', '"EU"', '"EU\\n"', '"\uff25UR"', '"E\u00dcR"', '"EUR "'),
    *('"' + "s" * 33 + '"', "{" + '"a":{' * 31 + "}" * 32, "[" * 32 + "]" * 32, "[" * 300 + "]" * 300),
    *("[" * 40, "]", "[1,]", '{"a":1,}', "{a:1}", "{1:1}", '{"a"}', '{"a":}', '{"a" 1}', '{,"a":1}'),
    *("[,1]", "[1 2]", "[1,\x0b2]", "[1/**/]", "\u00a01", '{"a\\u0000":1}', '{"\\ud800":1}'),
    *('{"a\x01":1}', '{"a":NaN}', "[1e]", "[01]", '["\\x"]', '[{"a":"\\ud800"}]'),
    *('[{"line_no":1},{"lineNo":1}]', '[{"line_no":1},{"line_no":-0},{"line_no":0}]'),
    *('[{"line_no":null}]', "[[]]", '"kafka:1"', '"customer.changed"', '".changed"', '"supplier.x"'),
    *('"delete"', '"DELETE"', '"e' + "\u00e9" * 128 + '"'),
)
_NAMES = (
    *("event_id", "event_type", "operation", "entity_id", "version", "occurred_at", "source", "data"),
    *("lines", "", CANARY, "unknown", "entityID", "Entity_id", "entity\u005fid", "lineNo", "\0"),
    *("\ud800", *VALUES),
)
_BYTES = (*b'\0"\\/{}[]:,0-9.eE+u \n\x1f\x7f\x80\xc0\xc3\xe2\xed\xf0\xff',)
HOSTILE_KEYS: Sequence[bytes | None] = (
    *(None, b"", b"abc", b"12.5", b"12.0", b"true", b"null", b"0", b"-5", b"007", b'"007"', b" 12"),
    *(b"12 ", b"12\n", b"9223372036854775807", b"9223372036854775808", b"9" * 400, b"0" * 400 + b"7"),
    *(b'"12"', b'"\\u0031"', b"[12]", "\uff11\uff12".encode(), "\u00b2".encode(), b'{"id":12}'),
    *(b"\xff\xfe12", b"12\0", b"\xef\xbb\xbf12", b"1e1", b"[" * 500, b"+12", b"1_2", b'"12', b"-0"),
    *(b"12 13", CANARY.encode()),
)


def grown(rng: Random) -> Case:
    """One input: valid, broken in its members, broken in its bytes, or a null value under some key."""
    table = rng.choice(sorted(SINGULAR))
    made = growing.draft(
        rng, table, growing.ENTITY_IDS, (f"e{rng.randrange(9)}", "E1", "e1 ", "e\u00e9\u0301")
    )
    kind = rng.random()
    if kind < 0.07:
        return Case(table, rng.choice(HOSTILE_KEYS), None, growing.timestamp(rng))
    if 0.25 < kind < 0.8:
        break_members(rng, made)
    case = growing.case(rng, made)
    if kind >= 0.7:
        case = Case(table, rng.choice(HOSTILE_KEYS), broken_bytes(rng, case.value or b""), case.timestamp_ms)
    if rng.random() < 0.02:
        far = rng.choice([2**63 - 1, -(2**63), 253_402_300_800_000, -30_610_224_000_001])
        case = Case(table, case.key, case.value, far)
    return case


def break_members(rng: Random, made: Draft) -> None:
    """Change a few members of a document: their values, their names, their number, their order."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        members = rng.choice(made.objects())
        rng.choice(_BREAKING)(rng, members)


def _replace(rng: Random, members: Pairs) -> None:
    if members:
        index = rng.randrange(len(members))
        members[index] = (members[index][0], rng.choice(HOSTILE_TEXTS))


def _stranger(rng: Random, members: Pairs) -> None:
    """A member that was not there, or once more with another value: before or behind the others."""
    members.insert(rng.randrange(len(members) + 1), (rng.choice(_NAMES), rng.choice(HOSTILE_TEXTS)))


def _repeat(rng: Random, members: Pairs) -> None:
    if members:
        name, text = rng.choice(members)
        other = rng.choice([text, rng.choice(HOSTILE_TEXTS)])
        members.insert(rng.randrange(len(members) + 1), (rng.choice([name, camel(name)]), other))


def _rename(rng: Random, members: Pairs) -> None:
    if members:
        index = rng.randrange(len(members))
        members[index] = (rng.choice([camel(members[index][0]), rng.choice(_NAMES)]), members[index][1])


def _drop(rng: Random, members: Pairs) -> None:
    if members:
        members.pop(rng.randrange(len(members)))


def _typed(rng: Random, members: Pairs) -> None:
    """A value that fits some other column."""
    if members:
        index = rng.randrange(len(members))
        members[index] = (members[index][0], VALUES[rng.choice(sorted(VALUES))](rng))


_BREAKING: Sequence[Callable[[Random, Pairs], None]] = (
    _replace,
    _replace,
    _replace,
    _stranger,
    _repeat,
    _rename,
    _drop,
    _typed,
)


def broken_bytes(rng: Random, value: bytes) -> bytes:
    """The same bytes, damaged in one of the ways in which bytes get damaged."""
    return rng.choice(_DAMAGE)(rng, value, rng.randrange(len(value) + 1))


def _flip(rng: Random, value: bytes, at: int) -> bytes:
    other = rng.choice([rng.choice(_BYTES), rng.randrange(256)])
    return value[:at] + bytes([other]) + value[at + 1 :]


def _insert(rng: Random, value: bytes, at: int) -> bytes:
    return value[:at] + rng.choice(HOSTILE_TEXTS).encode("utf-8", "surrogatepass") + value[at:]


def _cut(rng: Random, value: bytes, at: int) -> bytes:
    return value[:at] + value[at + rng.randrange(8) :]


def _otherwise(value: bytes, encoding: str) -> bytes:
    return value.decode("utf-8", "replace").encode(encoding, "replace")


_DAMAGE: Sequence[Callable[[Random, bytes, int], bytes]] = (
    _flip,
    _flip,
    _flip,
    _insert,
    _cut,
    lambda rng, value, at: value[:at],
    lambda rng, value, at: value * 2,
    lambda rng, value, at: b"\xef\xbb\xbf" + value,
    lambda rng, value, at: value.decode("utf-8", "replace").encode(
        rng.choice(["utf-16", "utf-16-le", "utf-32"])
    ),
    lambda rng, value, at: value.decode("utf-8", "replace").encode("latin-1", "replace"),
    lambda rng, value, at: rng.randbytes(at % 64),
    lambda rng, value, at: b" " + value + b"\r\n",
)
