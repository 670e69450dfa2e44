"""Figures from rows made by hand, with answers that are known."""

import dataclasses
import math
from datetime import timedelta
from typing import Any

import pytest

from app.core.errors import Invalid
from app.core.learning.audits import AuditedShare
from app.core.learning.period import Unit
from app.core.routing.decision import UNROUTED
from app.core.routing.document import DEFAULT_AUDITS
from app.flows import metrics, upkeep
from app.flows.context import Context
from app.store import counts
from app.store.counts import Counted, Selection
from app.store.metrics import QueueLoad, Turnaround
from tests.store.metric_rows import DAY, NOON, OFTEN, TEN, CountRow, Rows

EVERYTHING = Selection()
REJECTED = "sentiment@1 reject 0.5"


@pytest.fixture
async def rows(ctx: Context) -> Rows:
    """An empty project; the database's clock stands at noon."""
    ctx.db.now = NOON
    return await Rows.of_new_project(ctx.db)


async def summary(ctx: Context, rows: Rows, which: Selection = EVERYTHING) -> metrics.Summary:
    return await metrics.summary(ctx, rows.project, which, start=DAY.start, end=DAY.end)


async def accepted_error(ctx: Context, rows: Rows, which: Selection = EVERYTHING) -> AuditedShare:
    _, error = await metrics.accepted_error_of(
        ctx, rows.project, which, start=DAY.start, end=DAY.end
    )
    return error


async def timeseries(ctx: Context, rows: Rows, unit: Unit, **more: Any) -> list[metrics.Point]:
    period = {"start": DAY.start, "end": DAY.end, **more}
    return (await metrics.timeseries(ctx, rows.project, EVERYTHING, unit, **period)).points


async def the_known_example(rows: Rows, **where: Any) -> None:
    """950 accepted at 0.05, 48 audited, 1 wrong; 50 at 0.5, 25 audited, 5 wrong."""
    await rows.inbox(CountRow(decisions=950, audited=48, **where))
    await rows.inbox(CountRow(decisions=50, audited=25, stratum=OFTEN, **where))
    await rows.audits(48, wrong=1, **where)
    await rows.audits(25, wrong=5, stratum=OFTEN, **where)


def numbers_in(value: Any) -> list[float]:
    if isinstance(value, float):
        return [value]
    if isinstance(value, dict):
        return [n for child in value.values() for n in numbers_in(child)]
    if isinstance(value, list | tuple):
        return [n for child in value for n in numbers_in(child)]
    return []


async def test_an_empty_project_has_zeros_and_nulls_with_reasons(ctx: Context, rows: Rows) -> None:
    found = await summary(ctx, rows)

    assert found.decisions is not None
    assert (found.decisions.total, found.decisions.audited, found.by_reason) == (0, 0, {})
    assert found.queues == [QueueLoad(name, 0, None, 0, 0) for name in (DEFAULT_AUDITS, UNROUTED)]
    assert found.turnaround == Turnaround(None, None, None, 0)
    assert found.effort.human_seconds == 0
    assert (found.accepted_error.estimate.value, found.accepted_error.reason) == (
        None,
        "no_accepted",
    )
    assert found.agreement.audits.reason == "no_accepted"
    assert found.agreement.reviews.reason == "no_reviews"
    assert not any(math.isnan(n) for n in numbers_in(dataclasses.asdict(found)))


async def test_decisions_are_summed_by_route_and_reason_without_shadows(
    ctx: Context, rows: Rows
) -> None:
    await rows.inbox(
        CountRow(decisions=6, audited=2),
        CountRow(decisions=3, route="review", reason="tie", stratum="sentiment@1 review 1"),
        CountRow(decisions=1, route="reject", reason="spam", stratum=REJECTED, audited=1),
        CountRow(decisions=90, shadow=True),
    )

    found = await summary(ctx, rows)

    assert found.decisions is not None
    assert found.decisions.by_route == {
        "accept": Counted(6, 2),
        "review": Counted(3, 0),
        "reject": Counted(1, 1),
    }
    assert (found.decisions.total, found.decisions.audited, found.decisions.shadow) == (10, 3, 90)
    assert found.by_reason == {
        "default": Counted(6, 2),
        "tie": Counted(3, 0),
        "spam": Counted(1, 1),
    }


@pytest.mark.parametrize("folded", ["not yet folded", "half folded", "folded"])
async def test_accepted_error_weights_each_stratum_by_its_size(
    ctx: Context, rows: Rows, folded: str
) -> None:
    await the_known_example(rows)
    if folded == "half folded":
        async with ctx.db.write() as tx:
            await counts.fold(tx, rows.project, 1)
    if folded == "folded":
        await upkeep.fold(ctx)

    error = await accepted_error(ctx, rows)

    assert error.estimate.value == pytest.approx(0.0297917, abs=1e-6)
    assert error.estimate.low is not None
    assert error.estimate.high is not None
    assert error.estimate.low < 0.0297917 < error.estimate.high
    assert (error.estimate.accepted, error.estimate.audited, error.estimate.undecided) == (
        1000,
        73,
        0,
    )
    assert (error.reason, error.covered_until, error.judges) == (None, NOON, ["single"])


async def test_rejects_and_shadows_are_no_part_of_the_accepted_error(
    ctx: Context, rows: Rows
) -> None:
    await the_known_example(rows)
    await rows.inbox(
        CountRow(decisions=500, audited=4, route="reject", stratum=REJECTED),
        CountRow(decisions=500, shadow=True),
        CountRow(decisions=500, route="review", stratum="sentiment@1 review 1"),
    )
    await rows.audits(4, wrong=4, stratum=REJECTED, route="reject")

    error = await accepted_error(ctx, rows)

    assert error.estimate.value == pytest.approx(0.0297917, abs=1e-6)
    assert error.estimate.accepted == 1000


async def test_audits_of_another_segment_label_or_version_do_not_count(
    ctx: Context, rows: Rows
) -> None:
    await the_known_example(rows, segment={"source": "tweets"})
    await rows.inbox(
        CountRow(decisions=100, audited=9, segment={"source": "nyt"}),
        CountRow(decisions=100, audited=9, segment={"source": "tweets"}, label="negative"),
        CountRow(decisions=100, audited=9, segment={"source": "tweets"}, model_version="2"),
    )
    await rows.audits(9, wrong=9, segment={"source": "nyt"})
    await rows.audits(9, wrong=9, segment={"source": "tweets"}, label="negative")
    await rows.audits(9, wrong=9, segment={"source": "tweets"}, model_version="2")

    error = await accepted_error(
        ctx,
        rows,
        Selection(label="positive", model_version="1", segment={"source": "tweets"}),
    )

    assert error.estimate.value == pytest.approx(0.0297917, abs=1e-6)
    assert error.estimate.accepted == 1000


async def test_a_segment_that_was_not_declared_was_not_counted(ctx: Context, rows: Rows) -> None:
    await rows.inbox(CountRow(decisions=100, audited=5))
    await rows.audits(5, segment={"source": "tweets"})

    error = await accepted_error(ctx, rows, Selection(segment={"source": "tweets"}))

    assert (error.estimate.value, error.reason) == (None, "no_accepted")


async def test_hours_from_the_first_open_audit_on_are_left_out(ctx: Context, rows: Rows) -> None:
    nine, eleven = TEN - timedelta(hours=1), TEN + timedelta(hours=1)
    await rows.inbox(*(CountRow(hour=hour, decisions=100) for hour in (nine, TEN, eleven)))
    await rows.audits(10, wrong=1, decided_at=nine)
    await rows.audits(10, decided_at=TEN)
    await rows.item(kind="audit", queue=DEFAULT_AUDITS, decided_at=TEN + timedelta(minutes=59))
    await rows.audits(10, decided_at=eleven)

    error = await accepted_error(ctx, rows)

    assert error.covered_until == TEN
    assert (error.estimate.accepted, error.estimate.audited) == (100, 10)
    assert error.estimate.value == pytest.approx(0.1)


async def test_an_overdue_audit_is_undecided_and_widens_the_interval(
    ctx: Context, rows: Rows
) -> None:
    await the_known_example(rows)
    answered = await accepted_error(ctx, rows)
    for _ in range(5):
        await rows.item(kind="audit", queue=DEFAULT_AUDITS, due=timedelta(days=1))
    open_still = await accepted_error(ctx, rows)

    ctx.db.now = TEN + timedelta(days=1)
    overdue = await accepted_error(ctx, rows)

    assert (open_still.estimate.value, open_still.reason) == (None, "audits_under_way")
    assert open_still.covered_until == TEN
    assert overdue.estimate.value == answered.estimate.value
    assert overdue.estimate.undecided == 5
    assert overdue.estimate.high is not None
    assert answered.estimate.high is not None
    assert overdue.estimate.high > answered.estimate.high


@pytest.mark.parametrize(
    "audit",
    [
        pytest.param({"outcome": "cannot_tell"}, id="the judge cannot tell"),
        pytest.param({"outcome": "invalid"}, id="the input is unusable"),
        pytest.param({"agreed": None}, id="the model gave no label to compare"),
    ],
)
async def test_an_answer_without_comparison_is_undecided(
    ctx: Context, rows: Rows, audit: dict[str, Any]
) -> None:
    await the_known_example(rows)
    await rows.resolved(kind="audit", queue=DEFAULT_AUDITS, judge="panel", **audit)

    error = await accepted_error(ctx, rows)

    assert error.estimate.value == pytest.approx(0.0297917, abs=1e-6)
    assert (error.estimate.audited, error.estimate.undecided) == (73, 1)
    # who did not tell is no judge of the estimate
    assert error.judges == ["single"]


async def test_a_cancelled_audit_is_undecided(ctx: Context, rows: Rows) -> None:
    await the_known_example(rows)
    await rows.item(kind="audit", queue=DEFAULT_AUDITS, state="cancelled")

    error = await accepted_error(ctx, rows)

    assert (error.estimate.audited, error.estimate.undecided) == (73, 1)


async def test_a_later_revision_of_a_resolution_is_the_one_that_counts(
    ctx: Context, rows: Rows
) -> None:
    await rows.inbox(CountRow(decisions=100, audited=1))
    item_id = await rows.resolved(kind="audit", queue=DEFAULT_AUDITS, agreed=True)
    async with ctx.db.write() as tx:
        await tx.raw.execute(
            "INSERT INTO resolutions (project_id, item_id, revision, outcome, label, agreed, "
            "judge, blind, resolved_at) VALUES ($1, $2, 2, 'labeled', 'y', false, 'single', "
            "true, $3)",
            rows.project,
            item_id,
            TEN,
        )

    error = await accepted_error(ctx, rows)

    assert (error.estimate.value, error.estimate.audited) == (1, 1)


async def test_every_judge_is_named(ctx: Context, rows: Rows) -> None:
    await rows.inbox(CountRow(decisions=100))
    for judge in ("single", "panel", "panel"):
        await rows.audits(1, judge=judge)

    assert (await accepted_error(ctx, rows)).judges == ["panel", "single"]


async def test_figures_about_decisions_do_not_know_queues(ctx: Context, rows: Rows) -> None:
    await the_known_example(rows)

    found = await summary(ctx, rows, Selection(queue=DEFAULT_AUDITS))

    assert (found.decisions, found.by_reason) == (None, None)
    assert found.accepted_error.reason == "not_by_queue"
    assert [load.queue for load in found.queues] == [DEFAULT_AUDITS]
    assert found.turnaround.n == 73


async def test_agreement_of_audits_includes_rejects_and_reviews_stand_apart(
    ctx: Context, rows: Rows
) -> None:
    await rows.inbox(
        CountRow(decisions=300, audited=30),
        CountRow(decisions=100, audited=10, route="reject", stratum=REJECTED),
    )
    await rows.audits(30, wrong=3)
    await rows.audits(10, wrong=5, stratum=REJECTED, route="reject")
    for agreed in (True, False, False, False):
        await rows.resolved(agreed=agreed)
    await rows.resolved(outcome="cannot_tell")

    agreement = (await summary(ctx, rows)).agreement

    # 3/4 of the decisions with 0.9, 1/4 with 0.5
    assert agreement.audits.estimate.value == pytest.approx(0.8)
    assert agreement.audits.estimate.audited == 40
    assert (agreement.reviews.value, agreement.reviews.compared) == (0.25, 4)


async def test_queues_have_depth_age_inflow_and_outflow(ctx: Context, rows: Rows) -> None:
    ctx.db.now = NOON
    yesterday = TEN - timedelta(days=1)
    await rows.item(decided_at=yesterday)
    await rows.item(decided_at=TEN)
    await rows.resolved(decided_at=yesterday, waited_s=86_400)
    await rows.resolved(decided_at=TEN, waited_s=60)
    await rows.item(decided_at=TEN, state="cancelled")
    await rows.resolved(decided_at=yesterday, waited_s=60)

    loads = (await summary(ctx, rows)).queues

    audits, unrouted = loads
    assert audits == QueueLoad(DEFAULT_AUDITS, 0, None, 0, 0)
    # of today: queued the open one, the resolved one and the cancelled one; settled those two and
    # yesterday's
    assert (unrouted.inflow, unrouted.outflow) == (3, 3)
    assert unrouted.oldest_age_s == 26 * 3600


async def test_depth_counts_assignments_that_wait_or_are_leased(ctx: Context, rows: Rows) -> None:
    first, second = await rows.item(), await rows.item(label="negative")
    for item_id, state in ((first, "open"), (first, "leased"), (second, "open")):
        await rows.assignment(item_id, state)

    everything = (await summary(ctx, rows)).queues
    positive = (await summary(ctx, rows, Selection(label="positive"))).queues

    assert [load.depth for load in everything] == [0, 3]
    assert [load.depth for load in positive] == [0, 2]


async def test_turnaround_is_over_the_items_resolved_within_the_range(
    ctx: Context, rows: Rows
) -> None:
    for seconds in range(1, 102):
        await rows.resolved(waited_s=seconds)
    await rows.item(state="cancelled", waited_s=9999)
    await rows.resolved(decided_at=TEN, waited_s=86_400)

    waited = (await summary(ctx, rows)).turnaround

    assert waited == Turnaround(51, 91, 100, 101)


async def test_human_seconds_are_those_sent_or_else_measured(ctx: Context, rows: Rows) -> None:
    item_ids = [await rows.item() for _ in range(5)]
    at = [TEN + timedelta(seconds=seconds) for seconds in (60, 100, 130, 200, 3000)]
    # sent with the verdict
    first = await rows.verdict(item_ids[0], at=at[0], leased_s=60, spent_s=12)
    # claimed together with the first: only the time since that one was the work on this one
    await rows.verdict(item_ids[1], at=at[1], leased_s=100)
    # claimed after the one before
    await rows.verdict(item_ids[2], at=at[2], leased_s=20)
    # somebody else's time runs apart
    await rows.verdict(item_ids[3], at=at[3], leased_s=200, reviewer="r-18")
    # an amendment is the same verdict
    await rows.verdict(
        item_ids[0], at=at[4], leased_s=60, spent_s=500, revision=2, assignment_id=first
    )

    effort = (await summary(ctx, rows)).effort

    assert (effort.human_seconds, effort.verdicts) == (12 + 40 + 20 + 200, 4)


async def test_the_verdict_before_counts_also_where_a_filter_hides_it(
    ctx: Context, rows: Rows
) -> None:
    hidden, shown = await rows.item(label="negative"), await rows.item()
    await rows.verdict(hidden, at=TEN + timedelta(seconds=60), leased_s=60)
    await rows.verdict(shown, at=TEN + timedelta(seconds=100), leased_s=100)

    effort = (await summary(ctx, rows, Selection(label="positive"))).effort

    assert (effort.human_seconds, effort.verdicts) == (40, 1)


async def test_a_series_has_every_hour_empty_ones_too(ctx: Context, rows: Rows) -> None:
    await rows.inbox(CountRow(decisions=3), CountRow(hour=TEN + timedelta(hours=2), shadow=True))
    await rows.inbox(CountRow(decisions=4))
    yesterday = TEN - timedelta(days=1)
    await rows.item(decided_at=yesterday)
    await rows.resolved(decided_at=yesterday, waited_s=86_400 + 1800)
    await rows.resolved(decided_at=TEN + timedelta(hours=1), waited_s=30, agreed=False)

    points = await timeseries(ctx, rows, Unit.HOUR)

    assert [point.at for point in points] == [DAY.start + timedelta(hours=n) for n in range(24)]
    assert all(point.decisions is not None for point in points)
    totals = {point.at.hour: point.decisions.total for point in points if point.decisions}
    assert {hour: total for hour, total in totals.items() if total} == {10: 7}
    assert points[12].decisions is not None
    assert points[12].decisions.shadow == 1
    assert [point.depth for point in points[8:12]] == [2, 2, 1, 1]
    assert [(point.inflow, point.outflow) for point in points[9:12]] == [(0, 0), (0, 1), (1, 1)]
    assert points[10].turnaround == Turnaround(88_200, 88_200, 88_200, 1)
    assert points[11].agreement.reviews.value == 0
    assert points[9].agreement.reviews.reason == "no_reviews"
    assert points[9].accepted_error.reason == "no_accepted"


async def test_days_of_a_series_are_whole_utc_days(ctx: Context, rows: Rows) -> None:
    await the_known_example(rows)
    await rows.inbox(CountRow(hour=TEN + timedelta(days=1), decisions=5))

    points = await timeseries(ctx, rows, Unit.DAY, start=TEN, end=TEN + timedelta(days=2, hours=1))

    assert [point.at for point in points] == [DAY.start + timedelta(days=n) for n in range(3)]
    assert [point.decisions.total for point in points if point.decisions] == [1000, 5, 0]
    assert points[0].accepted_error.estimate.value == pytest.approx(0.0297917, abs=1e-6)


async def test_each_bucket_of_a_series_waits_for_its_own_audits(ctx: Context, rows: Rows) -> None:
    eleven = TEN + timedelta(hours=1)
    await rows.inbox(CountRow(decisions=100), CountRow(hour=eleven, decisions=100))
    await rows.item(kind="audit", queue=DEFAULT_AUDITS)
    await rows.audits(10, wrong=5, decided_at=eleven)

    points = await timeseries(ctx, rows, Unit.HOUR)

    assert points[10].accepted_error.reason == "audits_under_way"
    assert points[11].accepted_error.estimate.value == 0.5


async def test_without_a_range_the_last_seven_days_are_meant(ctx: Context, rows: Rows) -> None:
    ctx.db.now = NOON + timedelta(minutes=10)

    found = await metrics.summary(ctx, rows.project, EVERYTHING)

    assert (found.period.start, found.period.end) == (
        NOON - timedelta(days=7),
        NOON + timedelta(hours=1),
    )


async def test_a_series_of_too_many_buckets_is_refused(ctx: Context, rows: Rows) -> None:
    thousand = DAY.start - timedelta(hours=1000)

    assert len(await timeseries(ctx, rows, Unit.HOUR, start=thousand, end=DAY.start)) == 1000
    with pytest.raises(Invalid):
        await timeseries(ctx, rows, Unit.HOUR, start=thousand, end=DAY.end)


async def test_another_projects_rows_are_never_in_a_figure(ctx: Context, rows: Rows) -> None:
    theirs = await Rows.of_new_project(ctx.db)
    await the_known_example(theirs)
    item_id = await theirs.resolved(waited_s=5)
    await theirs.verdict(item_id, at=TEN, leased_s=5)
    await theirs.item()
    empty = await summary(ctx, await Rows.of_new_project(ctx.db))

    ours = await summary(ctx, rows)
    audits = await summary(ctx, rows, Selection(queue=DEFAULT_AUDITS))

    assert ours == empty
    assert [load.queue for load in ours.queues] == [DEFAULT_AUDITS, UNROUTED]
    assert audits.turnaround.n == 0
    # there was something to be seen
    assert (await summary(ctx, theirs)).accepted_error.estimate.accepted == 1000
