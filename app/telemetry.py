"""The one list of metric names, and how logs are written.

Names follow Prometheus' conventions: a unit last, `_total` on counters. What comes from the
database is read anew at each scrape (`api/prometheus.py`) and is the same on every replica, so
dashboards take `max` of it and not `sum`; the process's own figures are kept here.
"""

import logging
from typing import NamedTuple

from prometheus_client import Counter, Gauge, Histogram

FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)

REQUEST_SECONDS = Histogram(
    "overrule_request_seconds",
    "Time from a request's first byte to the end of its response.",
    ["method", "route", "status"],
    buckets=FAST_S,
)
COMMIT_SECONDS = Histogram(
    "overrule_commit_seconds",
    "Time of one gathered commit, from its first statement to its end.",
    buckets=FAST_S,
)
COMMIT_ROWS = Histogram(
    "overrule_commit_rows",
    "Predictions gathered into one commit.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
COMMITS_SPLIT = Counter(
    "overrule_commits_split_total",
    "Gathered commits that were split because a row in them was refused.",
)
WAITING_ROWS = Gauge("overrule_waiting_rows", "Predictions waiting for a commit in this process.")


class Fact(NamedTuple):
    """A gauge that is read at each scrape, and is absent where there is nothing to say."""

    name: str
    help: str
    labels: tuple[str, ...] = ("project",)


POOL_CONNECTIONS = Fact(
    "overrule_pool_connections", "Database connections of this process.", ("state",)
)
PARTITIONS_UNTIL = Fact(
    "overrule_partitions_until_timestamp_seconds",
    "End of the last partition of decisions, in seconds since 1970.",
    (),
)
INBOX_ROWS = Fact(
    "overrule_inbox_rows",
    "Commits whose counts wait for the worker; figures are exact all the same.",
)
FOLD_LAG = Fact(
    "overrule_fold_lag_seconds",
    "How long the oldest of them has been waiting; 0 when none does.",
)
DECISIONS = Fact(
    "overrule_decisions",
    "Decisions of the last 7 days, without shadow predictions.",
    ("project", "model", "model_version", "route"),
)
AUDITED = Fact(
    "overrule_audited_decisions",
    "Decisions of the last 7 days that were drawn for an audit.",
    ("project", "model", "model_version", "route"),
)
QUEUE_DEPTH = Fact(
    "overrule_queue_depth",
    "Assignments that wait or are being worked on.",
    ("project", "queue"),
)
QUEUE_OLDEST = Fact(
    "overrule_queue_oldest_age_seconds",
    "Age of the oldest unsettled item; 0 when there is none.",
    ("project", "queue"),
)
QUEUE_INFLOW = Fact(
    "overrule_queue_inflow", "Items queued in the last 7 days.", ("project", "queue")
)
QUEUE_OUTFLOW = Fact(
    "overrule_queue_outflow", "Items settled in the last 7 days.", ("project", "queue")
)
TURNAROUND = Fact(
    "overrule_turnaround_seconds",
    "From queued to resolved, of the items resolved in the last 7 days.",
    ("project", "quantile"),
)
HUMAN_SECONDS = Fact(
    "overrule_human_seconds", "Seconds that reviewers spent on verdicts of the last 7 days."
)
VERDICTS = Fact("overrule_verdicts", "Verdicts submitted in the last 7 days.")
AGREEMENT = Fact(
    "overrule_agreement_ratio",
    "Share in which human and model agree, by where it was measured, with its 95 % interval.",
    ("project", "source", "bound"),
)
ACCEPTED_ERROR = Fact(
    "overrule_accepted_error_ratio",
    "Share of the accepted that a human would call wrong, with its 95 % interval.",
    ("project", "bound"),
)


def configure_logging(level: str) -> None:
    """One line per event on standard error."""
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
