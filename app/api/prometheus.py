"""`GET /metrics`: the process's own figures, and the facts of the key's project, or of all.

The facts are gauges that are made from the database at each scrape. Nothing of them is kept in the
process, so no scrape shows what another key asked for.
"""

from collections.abc import Iterator
from datetime import datetime

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app import telemetry
from app.api.auth import Ctx, Scraping
from app.core.learning.accepted_error import Estimate
from app.core.learning.agreement import RoutedAgreement
from app.flows import facts as flows
from app.flows.context import Context
from app.flows.facts import ProjectFacts
from app.telemetry import Fact

router = APIRouter(tags=["operations"])

Sample = tuple[Fact, tuple[str, ...], float | None]


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={
        200: {
            "content": {
                "text/plain": {
                    "schema": {"type": "string"},
                    "example": 'overrule_queue_depth{project="moderation",queue="triage"} 12.0\n',
                }
            }
        }
    },
)
async def scrape(ctx: Ctx, caller: Scraping) -> PlainTextResponse:
    """Give all figures as Prometheus reads them: one project's, or all for an admin key."""
    samples = _process_samples(ctx, await flows.partition_horizon(ctx))
    for facts in await flows.facts(ctx, caller.project_id):
        samples += _project_samples(facts)
    registry = CollectorRegistry()
    registry.register(_Facts(samples))
    text = generate_latest(REGISTRY) + generate_latest(registry)
    return PlainTextResponse(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


class _Facts(Collector):
    """The samples of one scrape, one family for each fact."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families: dict[Fact, GaugeMetricFamily] = {}
        for fact, labels, value in self._samples:
            if value is None:
                continue
            if fact not in families:
                families[fact] = GaugeMetricFamily(fact.name, fact.help, labels=fact.labels)
            families[fact].add_metric(labels, value)
        yield from families.values()


def _process_samples(ctx: Context, horizon: datetime | None) -> list[Sample]:
    pool = ctx.db.pool_figures()
    until = None if horizon is None else horizon.timestamp()
    return [
        *((telemetry.POOL_CONNECTIONS, (state,), count) for state, count in pool.items()),
        (telemetry.PARTITIONS_UNTIL, (), until),
    ]


def _project_samples(facts: ProjectFacts) -> list[Sample]:
    project, found = facts.project, facts.summary
    samples: list[Sample] = [
        (telemetry.INBOX_ROWS, (project,), facts.inbox_rows),
        (telemetry.FOLD_LAG, (project,), facts.fold_lag_s),
        (telemetry.TURNAROUND, (project, "0.5"), found.turnaround.p50_s),
        (telemetry.TURNAROUND, (project, "0.9"), found.turnaround.p90_s),
        (telemetry.TURNAROUND, (project, "0.99"), found.turnaround.p99_s),
        (telemetry.HUMAN_SECONDS, (project,), found.effort.human_seconds),
        (telemetry.VERDICTS, (project,), found.effort.verdicts),
    ]
    for labels, counted in facts.by_model.items():
        samples.append((telemetry.DECISIONS, (project, *labels), counted.decisions))
        samples.append((telemetry.AUDITED, (project, *labels), counted.audited))
    for load in found.queues:
        place = (project, load.queue)
        samples.append((telemetry.QUEUE_DEPTH, place, load.depth))
        samples.append((telemetry.QUEUE_OLDEST, place, load.oldest_age_s or 0))
        samples.append((telemetry.QUEUE_INFLOW, place, load.inflow))
        samples.append((telemetry.QUEUE_OUTFLOW, place, load.outflow))
    audits, reviews = found.agreement.audits.estimate, found.agreement.reviews
    samples += _bounds(telemetry.AGREEMENT, (project, "audits"), audits)
    samples += _bounds(telemetry.AGREEMENT, (project, "reviews"), reviews)
    samples += _bounds(telemetry.ACCEPTED_ERROR, (project,), found.accepted_error.estimate)
    return samples


def _bounds(fact: Fact, labels: tuple[str, ...], share: Estimate | RoutedAgreement) -> list[Sample]:
    return [
        (fact, (*labels, "value"), share.value),
        (fact, (*labels, "low"), share.low),
        (fact, (*labels, "high"), share.high),
    ]
