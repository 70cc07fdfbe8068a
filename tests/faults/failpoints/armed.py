"""Inside the process: which failpoint is armed, and who comes to it.

`adapters` asks at every step of a lane, and of the task that tries parked records again; steps of anybody
else (monitor, HTTP, purges) are none. One failpoint is armed at a time, in the order of the plan. One in a
batch waits until the lanes that were struck before have gone on: faults on top of each other in one batch
would be another test. Claims are tried without end: there, one may follow another, and where all lanes have
claimed, an idle one has to do it again.
"""

from __future__ import annotations

from contextvars import ContextVar

from tests.faults.failpoints.plan import Account, Failpoint, Plan

OPERATION: ContextVar[str] = ContextVar("operation", default="")
"""What is done in SQL: `row`, `claim`, `batch`, `hits` (a position alone), `due`, `retry`."""
LANE: ContextVar[str] = ContextVar("lane", default="")
"""The partition of the lane at work, or `RETRIES`; empty for everybody else."""
RETRIES = "retries"
RECORDS: ContextVar[int] = ContextVar("records", default=0)
"""How many records the batch in hand has."""
LONE: ContextVar[bool] = ContextVar("lone", default=False)
"""Whether the transaction is about the only record left of a batch that was divided."""


class Armed:
    """The failpoints that are left of a plan."""

    def __init__(self, plan: Plan, account: Account) -> None:
        self._left = list(enumerate(plan.failpoints))
        self._account = account
        self._skipped = 0
        self._stopped: dict[str, list[int]] = {}
        self._worked = False

    @property
    def wants_a_claim(self) -> bool:
        """Whether the next failpoint is in a claim."""
        return bool(self._left) and self._left[0][1].step.phase.is_claim

    def come_to(self, step_name: str) -> Failpoint | None:
        """The failpoint that whoever comes to this step runs into now, if there is one; told, and spent."""
        if not self._left or not LANE.get():
            return None
        number, failpoint = self._left[0]
        if failpoint.step_name != step_name or not self._fits(failpoint):
            return None
        if self._skipped < failpoint.skip:
            self._skipped += 1
            return None
        del self._left[0]
        self._skipped = 0
        self._stopped.setdefault(LANE.get(), []).append(number)
        self._account.tell("struck", number)
        return failpoint

    def moved(self) -> None:
        """The lane has got to where it can read, or ahead: what struck it is overcome."""
        for number in self._stopped.pop(LANE.get(), ()):
            self._account.tell("went on", number)

    def worked(self) -> None:
        """A batch has come to its outcomes."""
        if not self._worked:
            self._worked = True
            self._account.tell("worked")

    def _fits(self, failpoint: Failpoint) -> bool:
        if failpoint.step.phase.is_claim:
            return True
        # A lone record that fails for now would be parked: its outcome could be any.
        return not self._stopped and RECORDS.get() >= failpoint.records and not LONE.get()
