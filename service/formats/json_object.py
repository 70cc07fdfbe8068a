"""The bytes of a record as one JSON object, whose values stay text until somebody knows their type.

Called by the formats that read JSON. What the values must look like is for `service.entities` to say.
"""

from __future__ import annotations

import re

from msgspec import MsgspecError, Raw
from msgspec.json import Decoder

from service.core.errors import PermanentError
from service.entities import values

# Far more than any column takes, far fewer than the interpreter's own limit: that one counts the frames of
# whoever calls, and a record would end one way in a lane and another way when it is tried again.
MAX_LEVELS = 256

_OBJECT = Decoder(dict[str, Raw])

# An escaped NUL: `\u0000` after an even number of backslashes.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")


def read(value: bytes) -> dict[str, Raw]:
    """The members of the object, the last of each name; raises `PermanentError` (`InvalidJson`).

    Refuses what is not UTF-8, not one JSON object, nested too deeply, or holds a NUL or a lone surrogate
    anywhere. Takes time in proportion to the bytes.
    """
    try:
        text = value.decode()  # msgspec.Raw does not look at it
        if values.is_deeper(text, MAX_LEVELS):
            raise _invalid("nested too deeply")
        members = _OBJECT.decode(value)
    except UnicodeDecodeError as error:
        raise _invalid(f"not UTF-8 at byte {error.start}") from None
    except MsgspecError as error:
        # msgspec names structure and place here, never a value.
        raise _invalid(str(error)) from None
    if b"\\u0000" in value and _NUL.search(value):
        raise _invalid("contains a NUL")
    return members


def _invalid(message: str) -> PermanentError:
    return PermanentError(message, error_class="InvalidJson", stage="decode")
