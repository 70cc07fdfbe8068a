"""What can happen at a step, one line each. `steps` says which kinds a step can meet, `strike` does them."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """A kind of fault. `ending` ones take the process with them: its successor has to recover."""

    CRASH = "crash"
    """The process kills itself (SIGKILL): what is in memory is gone, connections break."""
    CUT_OFF = "cut off"
    """The process is told to end and the lane is cancelled here, as by a drain that runs out of time."""
    DEADLOCK = "deadlock"
    """1213 instead of an answer: the server has rolled the whole transaction back."""
    LOCK_TIMEOUT = "lock timeout"
    """1205 instead of an answer: the statement is rolled back, what came before it stands."""
    REFUSED = "refused"
    """The connection is cut before the request arrives: it takes no effect, and nobody answers."""
    ANSWER_LOST = "answer lost"
    """The request takes effect and the connection is cut before the answer arrives."""
    HANG = "hang"
    """No answer, for longer than the deadline of whoever waits for it."""
    UNFORESEEN = "unforeseen"
    """An exception that nobody foresaw comes out of the client, after the request has taken effect."""

    @property
    def ending(self) -> bool:
        """Whether the process does not survive it."""
        return self in (Kind.CRASH, Kind.CUT_OFF)

    @property
    def instead(self) -> bool:
        """Whether it comes in the place of the answer to the request that the step is about."""
        return self in (Kind.DEADLOCK, Kind.LOCK_TIMEOUT, Kind.REFUSED)
