"""Every planted bug, one entry each: what is wrong, the rule that it breaks, and who catches it.

The tests walk this list in both directions: with the bug its scenario must report `reports`, without any it
must report nothing. `page` makes the table in docs/proof.md of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from tests.planted.plants import cache as in_cache
from tests.planted.plants import pipeline as in_pipeline
from tests.planted.plants import sink as in_sink
from tests.planted.scenarios import cache, crashes, letters, positions, rivals, rows
from tests.planted.scene import Scene

Scenario = Callable[[Scene], Awaitable[list[str]]]
Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Bug:
    """A rule broken on purpose. `reports` is an invariant that the scenario must then see violated."""

    name: str
    wrong: str
    rule: str
    plant: Plant
    scenario: Scenario
    reports: str


BUGS = (
    # ---------------------------------------------------------------- one transaction
    Bug(
        "mark-in-its-own-transaction",
        "Marks are inserted after the batch was committed.",
        "the mark is in the batch's transaction",
        in_sink.mark_after_the_commit,
        crashes.crash_behind_the_commit,
        "I2",
    ),
    Bug(
        "letters-in-their-own-transaction",
        "Dead letters are written after the batch was committed.",
        "dead letters are in the batch's transaction",
        in_sink.bury_after_the_commit,
        crashes.crash_behind_the_commit,
        "I2",
    ),
    Bug(
        "commit-after-1205",
        "A lock timeout rolls back its statement only, and the rest is committed.",
        "any database error rolls the whole transaction back",
        in_sink.commit_after_a_lock_timeout,
        rows.locked_row,
        "I2",
    ),
    Bug(
        "insert-ignore-marks",
        "The marks are written last, by INSERT IGNORE: copies are all applied.",
        "marks are a plain INSERT; a duplicate key runs the batch again",
        in_sink.insert_ignore_marks,
        rivals.copy_elsewhere,
        "I7",
    ),
    Bug(
        "ids-without-case",
        "Event ids are compared without case and trailing blanks: two events become one.",
        "ids are compared byte for byte",
        in_sink.ids_as_text,
        rows.similar_ids,
        "I2",
    ),
    # ---------------------------------------------------------------- newer and stale
    Bug(
        "no-version-rule",
        "Every event is newer than what is stored.",
        "an older event changes nothing",
        in_sink.no_version_rule,
        rows.late_update,
        "I7",
    ),
    Bug(
        "version-forgotten",
        "A row takes over that an event has no version, and forgets its own.",
        "a row keeps its highest version",
        in_sink.version_forgotten,
        rows.version_left_out,
        "I7",
    ),
    Bug(
        "upsert-of-new-rows",
        "Rows that are not there yet are upserted: of two lanes that race, the last one wins.",
        "a new row is inserted; a duplicate key runs the batch again",
        in_sink.upsert_new_rows,
        rivals.race_for_a_new_row,
        "I7",
    ),
    Bug(
        "rows-removed",
        "A delete removes the row: a late update brings the record back.",
        "a delete keeps the row as a tombstone",
        in_sink.remove_deleted_rows,
        rows.late_update_of_a_deleted_record,
        "I7",
    ),
    Bug(
        "stale-lines",
        "The lines of an order are replaced even by a stale order.",
        "lines are written only together with the order that won",
        in_sink.lines_of_stale_orders,
        rows.late_order,
        "I1",
    ),
    # ---------------------------------------------------------------- claims and fences
    Bug(
        "no-fence",
        "The position is moved without a look at claim and expected position.",
        "the fence is the first statement of every transaction",
        in_sink.no_fence,
        rivals.zombie,
        "I3",
    ),
    Bug(
        "retry-without-fence",
        "A batch whose outcome is unknown is run again without the fence.",
        "an unknown outcome is resolved through the fence alone",
        in_pipeline.retry_without_fence,
        rivals.lost_answer_of_a_zombie,
        "I3",
    ),
    Bug(
        "claim-without-compare",
        "A claim overwrites a row that has changed since it was read.",
        "a claim holds only if the row is still what was read",
        in_sink.claim_without_compare,
        rivals.crossing_claims,
        "I8",
    ),
    Bug(
        "failed-fence-skipped",
        "After a failed fence the lane goes on with the next batch.",
        "a failed fence is looked at, never skipped",
        in_pipeline.skip_a_failed_fence,
        crashes.half_a_batch,
        "I2",
    ),
    Bug(
        "no-seek-after-a-fence",
        "A batch that is dropped after a failed fence is not read again.",
        "what is dropped is sought back to",
        in_pipeline.drop_without_seek,
        crashes.half_a_batch,
        "I2",
    ),
    Bug(
        "idle-lane-never-looks",
        "An idle lane does not look at its row and misses that the database was restored.",
        "an idle lane reads its row every few seconds",
        in_pipeline.never_look_at_the_row,
        positions.restored_backup,
        "I1",
    ),
    # ---------------------------------------------------------------- Kafka's offset
    Bug(
        "offset-before-the-transaction",
        "Kafka's offset is committed before the transaction.",
        "the group's offset is never ahead of the database's position",
        in_pipeline.offset_before_the_transaction,
        crashes.crash_before_the_transaction,
        "I3",
    ),
    Bug(
        "hits-move-the-offset",
        "A batch of hits moves the group's offset ahead of the database's position.",
        "Kafka's offset follows the position that SQL has confirmed",
        in_pipeline.offset_of_hits,
        positions.copies_that_the_cache_knows,
        "I3",
    ),
    Bug(
        "reset-ignored",
        "Whose metadata the group's offset carries is not looked at.",
        "an offset without our metadata is an operator's reset, and obeyed",
        in_pipeline.every_offset_is_ours,
        positions.reset_forward,
        "I2",
    ),
    Bug(
        "markers-forgotten",
        "A batch ends behind its last record: behind transaction markers lag never reaches 0.",
        "the position after a batch is the consumer's own",
        in_pipeline.end_at_the_last_record,
        positions.markers_at_the_end,
        "I6",
    ),
    # ---------------------------------------------------------------- the cache
    Bug(
        "remember-before-the-commit",
        "The cache is written before the commit.",
        "remember only after a confirmed commit",
        in_pipeline.remember_before_the_commit,
        letters.corrected_copy,
        "I4",
    ),
    Bug(
        "hit-by-existence",
        "Whatever lies under the key is a hit.",
        "a hit needs namespace, offset and entity",
        in_cache.ask_by_existence,
        cache.planted_keys,
        "I2",
    ),
    Bug(
        "hit-without-offset",
        "An entry counts whatever offset it names: a restored database loses what Redis remembers.",
        "the offset lies below the confirmed `handled_offset`",
        in_cache.any_offset,
        positions.restored_backup_that_nobody_notices,
        "I2",
    ),
    Bug(
        "hit-without-namespace",
        "An entry counts whoever wrote it.",
        "the namespace is the lane's",
        in_cache.any_namespace,
        positions.restored_and_reset_forth_and_back,
        "I2",
    ),
    Bug(
        "namespace-kept",
        "A jump over records keeps the cache's namespace.",
        "the namespace changes when a position jumps over records or begins anew",
        in_pipeline.keep_the_namespace,
        positions.restored_and_reset_forth_and_back,
        "I2",
    ),
    Bug(
        "hit-before-the-beginning",
        "An entry counts though an operator's jump passed over its record: a backup of then loses it.",
        "the offset lies at or above `handled_from`, where the namespace begins",
        in_cache.any_beginning,
        positions.reset_forth_and_back_and_restored,
        "I2",
    ),
    Bug(
        "hit-without-entity",
        "An entry counts for every record: a reused id is dropped in silence.",
        "the entity's id is the event's",
        in_cache.any_entity,
        letters.reused_id,
        "I2",
    ),
    # ---------------------------------------------------------------- dead letters
    Bug(
        "insert-ignore-rows",
        "Rows are written by INSERT IGNORE: what does not fit is cut instead of refused.",
        "a value that does not fit is a dead letter, never cut",
        in_sink.insert_ignore_rows,
        letters.refused_value,
        "I1",
    ),
    Bug(
        "batch-buried",
        "One record that fails for good makes dead letters of its whole batch.",
        "only the culprits become dead letters",
        in_pipeline.bury_the_batch,
        letters.refused_value,
        "I2",
    ),
    Bug(
        "every-code-is-permanent",
        "Any code that the server answers kills the record, a missing column too.",
        "the list of permanent codes is closed; the rest is waited for",
        in_sink.every_code_is_permanent,
        rows.missing_column,
        "I2",
    ),
    Bug(
        "letter-stays-open",
        "Applying a record leaves its dead letter open.",
        "applying a record closes its own letter",
        in_sink.letters_stay_open,
        letters.healed_column,
        "I2",
    ),
    Bug(
        "null-key-as-empty",
        "A dead letter does not tell a null key from an empty one.",
        "a dead letter keeps its record byte for byte",
        in_sink.null_key_as_empty,
        letters.record_without_key,
        "I5",
    ),
    Bug(
        "values-in-errors",
        "An error text quotes the server's message, and with it the value.",
        "database errors are told as code, table and column",
        in_sink.quote_the_server,
        letters.refused_value,
        "I9",
    ),
)

SCENARIOS = {bug.scenario.__name__: bug.scenario for bug in BUGS}
