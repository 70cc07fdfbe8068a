"""RFC 8259 to the letter, for `reading`: a second opinion on what is JSON, keeping the text of values.

Nothing is shared with the service's parser, a C extension: where the two disagree, one of them is wrong.
Beyond the RFC a text may hold no NUL and no lone surrogate, and nest only so deep.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_LEVELS = 256

_TOKEN = re.compile(
    r"[ \t\n\r]*(?:"
    r'(?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")'
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>true|false|null)"
    r"|(?P<mark>[\[\]{}:,])"
    r"|(?P<end>\Z))"
)


class NotJson(Exception):
    """The bytes are no JSON text that may reach a database."""


class Node(NamedTuple):
    """A value: its `kind`, the `text` that it stands as, and what it holds.

    `kind` is object, array, string, number or word (true, false, null). `characters` is a string's,
    `members` an object's in their order, repeated ones too, `items` an array's.
    """

    kind: str
    text: str
    levels: int = 0
    characters: str = ""
    members: tuple[tuple[str, Node], ...] = ()
    items: tuple[Node, ...] = ()

    @property
    def is_null(self) -> bool:
        return self.text == "null"

    def last(self) -> dict[str, Node]:
        """The members by name; of repeated ones the last counts."""
        return dict(self.members)


class _Token(NamedTuple):
    kind: str
    text: str
    begin: int
    end: int


def parse(value: bytes) -> Node:
    """The one value that `value` is; raises `NotJson`."""
    try:
        text = value.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise NotJson("not UTF-8") from error
    tokens = list(_tokens(text))
    _refuse_depth(tokens)
    parser = _Parser(text, tokens)
    node = parser.value()
    if parser.next().kind != "end":
        raise NotJson("something stands behind the value")
    return node


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while True:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise NotJson("no token")
        kind = match.lastgroup
        yield _Token(kind, match[kind], match.start(kind), match.end(kind))
        if kind == "end":
            return
        position = match.end()


def _refuse_depth(tokens: list[_Token]) -> None:
    level = 0
    for token in tokens:
        if token.kind == "mark":
            level += (token.text in "[{") - (token.text in "]}")
            if level > MAX_LEVELS:
                raise NotJson("too deep")


class _Parser:
    """Walks the tokens, one call a level."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._text = text
        self._rest = iter(tokens)

    def next(self) -> _Token:
        """The next token; the last one is of the kind `end`."""
        return next(self._rest)

    def value(self, token: _Token | None = None) -> Node:
        """The value that begins with `token`."""
        token = token or self.next()
        if token.kind == "string":
            return Node("string", token.text, characters=_characters(token.text))
        if token.kind in ("number", "word"):
            return Node(token.kind, token.text)
        if token.text == "{":
            return self._object(token)
        if token.text == "[":
            return self._array(token)
        raise NotJson("a value is missing")

    def _object(self, opening: _Token) -> Node:
        members: list[tuple[str, Node]] = []
        token = self.next()
        while token.text != "}" or members:
            if token.kind != "string" or self.next().text != ":":
                raise NotJson("no member")
            members.append((_characters(token.text), self.value()))
            token = self.next()
            if token.text == "}":
                break
            token = self._after_comma(token)
        levels = 1 + max((node.levels for _, node in members), default=0)
        text = self._text[opening.begin : token.end]
        return Node("object", text, levels, members=tuple(members))

    def _array(self, opening: _Token) -> Node:
        items: list[Node] = []
        token = self.next()
        while token.text != "]" or items:
            items.append(self.value(token))
            token = self.next()
            if token.text == "]":
                break
            token = self._after_comma(token)
        levels = 1 + max((node.levels for node in items), default=0)
        return Node("array", self._text[opening.begin : token.end], levels, items=tuple(items))

    def _after_comma(self, token: _Token) -> _Token:
        if token.text != ",":
            raise NotJson("no comma")
        return self.next()


def _characters(text: str) -> str:
    characters: str = json.loads(text)
    if "\0" in characters or any("\ud800" <= each <= "\udfff" for each in characters):
        raise NotJson("NUL or a lone surrogate")
    return characters
