"""What the dashboard shows: its panels, a few words each. `dashboard.py` makes Grafana's JSON of them."""

from __future__ import annotations

from dataclasses import dataclass

HERE = 'job=~"$job", instance=~"$instance"'
TOPIC = f'{HERE}, topic=~"$topic"'


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and the name of its series."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph over time, or one number (`stat`); from `alarm_from` on a number is red."""

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    stat: bool = False
    stacked: bool = False
    alarm_from: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, side by side."""

    title: str
    panels: tuple[Panel, ...]


def rate(metric: str, *labels: str, where: str = HERE) -> str:
    """What a counter grows by in a second, summed by `labels`."""
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} (rate({metric}{{{where}}}[$__rate_interval]))"


def quantile(share: float, histogram: str) -> str:
    """The value below which `share` of what a histogram saw lies."""
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', 'le')})"


def number(title: str, unit: str, expr: str, about: str, alarm_from: float | None = None) -> Panel:
    """A panel of one number."""
    return Panel(title, about, unit, (Query(expr),), stat=True, alarm_from=alarm_from)


HITS = rate("upsertd_cache_lookups_total", where=f'{HERE}, result="hit"')
ANSWERED = rate("upsertd_cache_lookups_total", where=f'{HERE}, result=~"hit|miss"')
DUPLICATES = rate("upsertd_events_total", where=f'{HERE}, outcome="duplicate"')

NOW = (
    number("Instances", "short", f"count(upsertd_build_info{{{HERE}}})", "Replicas that answer."),
    number(
        "Parts away",
        "short",
        f"sum(1 - upsertd_part_ready{{{HERE}}})",
        "Database with its schema, Kafka, topics, Redis, over all replicas. /health/ready names the reason.",
        alarm_from=1,
    ),
    number("Events", "ops", rate("upsertd_events_total"), "By all outcomes together."),
    number("Lag", "short", f"sum(upsertd_consumer_lag{{{TOPIC}}})", "Records that wait."),
    number(
        "Delay p99",
        "s",
        quantile(0.99, "upsertd_event_delay_seconds"),
        "From the event's occurred_at to the commit.",
    ),
    number(
        "Hit rate", "percentunit", f"{HITS} / {ANSWERED}", "Events that the cache knew: no statement at all."
    ),
    number(
        "Dead letters",
        "short",
        f'max(upsertd_dead_letters{{{HERE}, status="dead"}})',
        "In the database, given up and not dealt with. Every replica counts the same table.",
        alarm_from=1,
    ),
    number(
        "Lanes paused",
        "short",
        f"sum(upsertd_lane_paused{{{TOPIC}}})",
        "Partitions that wait for something.",
        alarm_from=1,
    ),
)

EVENTS = (
    Panel(
        "Events by outcome",
        "applied: written. stale: older than the row. duplicate: known. dead: kept as a dead letter.",
        "ops",
        (Query(rate("upsertd_events_total", "outcome"), "{{outcome}}"),),
        stacked=True,
    ),
    Panel(
        "Events by entity",
        "All outcomes.",
        "ops",
        (Query(rate("upsertd_events_total", "entity"), "{{entity}}"),),
        stacked=True,
    ),
    Panel(
        "Delay",
        "From occurred_at to the commit, of events that were applied. Old events make it long, too.",
        "s",
        tuple(
            Query(quantile(share, "upsertd_event_delay_seconds"), f"p{share * 100:g}")
            for share in (0.5, 0.9, 0.99)
        ),
    ),
    Panel(
        "Dead letters",
        "In the database by status; every replica counts the same table.",
        "short",
        (Query(f"max by (status) (upsertd_dead_letters{{{HERE}}})", "{{status}}"),),
    ),
    Panel(
        "Oddities of producers",
        "Keys that are not the entity's id (no order between their partitions); fields that no column takes.",
        "ops",
        (
            Query(rate("upsertd_key_mismatch_total"), "key mismatch"),
            Query(rate("upsertd_unknown_fields_total", "entity"), "unknown fields of {{entity}}"),
        ),
    ),
)

LANES = (
    Panel(
        "Lag",
        "Records between the position and the end of the log.",
        "short",
        (Query(f"sum by (topic) (upsertd_consumer_lag{{{TOPIC}}})", "{{topic}}"),),
    ),
    Panel(
        "Records by partition",
        "How fast each position moves.",
        "ops",
        (
            Query(
                f"sum by (topic, partition) (deriv(upsertd_consumer_position{{{TOPIC}}}[$__rate_interval]))",
                "{{topic}}/{{partition}}",
            ),
        ),
    ),
    Panel(
        "Lanes paused",
        "Each partition that waits, and for what.",
        "short",
        (
            Query(
                f"sum by (topic, partition, reason) (upsertd_lane_paused{{{TOPIC}}})",
                "{{topic}}/{{partition}} {{reason}}",
            ),
        ),
        stacked=True,
    ),
    Panel(
        "Claims",
        "Where lanes began: stored is ordinary, restored, lost and out_of_range are alarms.",
        "short",
        (Query(f"sum by (start) (upsertd_claims_total{{{TOPIC}}})", "{{start}}"),),
    ),
    Panel(
        "Fenced, redelivered, retried",
        "Turned away by another claim; records read again below the position; transactions run again.",
        "ops",
        (
            Query(rate("upsertd_fenced_total"), "fenced"),
            Query(rate("upsertd_records_redelivered_total"), "redelivered"),
            Query(rate("upsertd_retries_total"), "retries"),
        ),
    ),
    Panel(
        "Offset commits",
        "The group's offset in Kafka follows the database; unavailable ones are repeated by a later one.",
        "ops",
        (Query(rate("upsertd_offset_commits_total", "result"), "{{result}}"),),
    ),
)

CACHE = (
    Panel(
        "Lookups",
        "Ids asked of Redis. error: no answer in time, or the breaker is open.",
        "ops",
        (Query(rate("upsertd_cache_lookups_total", "result"), "{{result}}"),),
        stacked=True,
    ),
    Panel(
        "Hit rate",
        "Of all events; and of the duplicates among them: the second says how good the cache is.",
        "percentunit",
        (
            Query(f"{HITS} / {ANSWERED}", "of events"),
            Query(f"{HITS} / {DUPLICATES}", "of duplicates"),
            Query(f"avg(upsertd_cache_hit_rate{{{HERE}}})", "of events, since the start"),
        ),
    ),
    Panel(
        "Circuit breaker",
        "1 while a part is not asked, because it failed several times in a row.",
        "short",
        (
            Query(
                f"max by (instance, part) (upsertd_circuit_breaker_open{{{HERE}}})", "{{part}} {{instance}}"
            ),
        ),
    ),
)

DATABASE = (
    Panel(
        "Batch size",
        "Records of a batch: small when nothing waits, up to BATCH_MAX_RECORDS with a backlog.",
        "short",
        (
            Query(
                f"{rate('upsertd_batch_records_sum')} / {rate('upsertd_batch_records_count')}",
                "mean",
            ),
            Query(quantile(0.99, "upsertd_batch_records"), "p99"),
        ),
    ),
    Panel(
        "Batch time",
        "From taking a batch to its commit, waits and retries included.",
        "s",
        (
            Query(quantile(0.5, "upsertd_batch_seconds"), "p50"),
            Query(quantile(0.99, "upsertd_batch_seconds"), "p99"),
        ),
    ),
    Panel(
        "Statements per event",
        "COMMIT included. Larger batches and cache hits make it small.",
        "short",
        (Query(f"{rate('upsertd_db_statements_total')} / {rate('upsertd_events_total')}", "per event"),),
    ),
    Panel(
        "Pool",
        "Connections at work, by instance; the size is the limit.",
        "short",
        (
            Query(f"upsertd_db_pool_in_use{{{HERE}}}", "in use {{instance}}"),
            Query(f"upsertd_db_pool_in_use_peak{{{HERE}}}", "peak {{instance}}"),
            Query(f"max(upsertd_db_pool_size{{{HERE}}})", "size"),
        ),
    ),
    Panel(
        "Wait for a connection",
        "Beyond milliseconds the pool is too small, or the database too slow.",
        "s",
        (
            Query(quantile(0.5, "upsertd_db_pool_wait_seconds"), "p50"),
            Query(quantile(0.99, "upsertd_db_pool_wait_seconds"), "p99"),
        ),
    ),
)

PROCESS = (
    Panel(
        "CPU",
        "Cores in use, by instance.",
        "short",
        (Query(f"rate(process_cpu_seconds_total{{{HERE}}}[$__rate_interval])", "{{instance}}"),),
    ),
    Panel(
        "Memory",
        "Resident, by instance.",
        "bytes",
        (Query(f"process_resident_memory_bytes{{{HERE}}}", "{{instance}}"),),
    ),
    Panel(
        "Tasks and files",
        "Both stay level; what only grows is a leak.",
        "short",
        (
            Query(f"upsertd_async_tasks{{{HERE}}}", "tasks {{instance}}"),
            Query(f"process_open_fds{{{HERE}}}", "files {{instance}}"),
        ),
    ),
    Panel("Uptime", "Since the start.", "s", (Query(f"upsertd_uptime_seconds{{{HERE}}}", "{{instance}}"),)),
)

ROWS = (
    Row("Now", NOW),
    Row("Events", EVENTS),
    Row("Lanes", LANES),
    Row("Cache", CACHE),
    Row("Batches and database", DATABASE),
    Row("Process", PROCESS),
)
