"""Text for a terminal that whatever a record holds cannot drive: no escape sequences, no forged lines.

Used by the commands that show what came from outside.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence


def printable(text: str) -> str:
    """One line, with everything escaped that is not a visible character or a space: `\\x1b`, `\\u202e`."""
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def text_of(content: bytes) -> str | None:
    """The content as text, None when it is not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def base64_of(content: bytes) -> str:
    """The content as one line of base64."""
    return base64.b64encode(content).decode("ascii")


def described(content: bytes | None) -> tuple[str, list[str]]:
    """What the content is (`null`, `text, 12 bytes`, `base64, 3 bytes`) and its lines, safe to print."""
    if content is None:
        return "null", []
    text = text_of(content)
    size = f"{len(content)} byte{'' if len(content) == 1 else 's'}"
    if text is None:
        return f"base64, {size}", [base64_of(content)]
    return f"text, {size}", [printable(line) for line in text.split("\n")] if text else []


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int] = ()) -> str:
    """Rows under their head, columns aligned: those in `numbers` to the right, the others to the left."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index in numbers else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
