"""Performance without labels, beside what audits say."""

import random
import uuid
from datetime import timedelta

import httpx
import pytest

from app.core.learning.period import Period
from app.flows import estimated_error
from app.flows import predict as predict_flow
from app.flows.context import Context
from app.flows.estimated_error import error_without_labels_of
from app.store.counts import Selection
from app.store.ids import lowest_id_at, utc_now
from tests.scenario import Scenario

EVERYTHING = Selection()


@pytest.fixture
def period() -> Period:
    hour = utc_now().replace(minute=0, second=0, microsecond=0)
    return Period(hour - timedelta(hours=1), hour + timedelta(hours=2))


async def test_it_is_the_mean_of_what_confidence_leaves_over_the_accepted(
    ctx: Context, scenario: Scenario, period: Period
) -> None:
    rule = {"id": "unsure", "confidence": {"below": 0.5}, "route": "review", "queue": "triage"}
    await scenario.policy(rule)
    for confidence in (0.9, 0.8, 0.95, 0.3):
        await scenario.decided(confidence=confidence)
    await scenario.decided(confidence=0.5, shadow=True)
    await scenario.decided(confidence=0.5, model="other")

    found = await error_without_labels_of(
        ctx, scenario.project, period, Selection(model="sentiment")
    )

    assert found is not None
    assert (found.estimate.predictions, found.basis) == (3, "all")
    assert found.estimate.error == pytest.approx((0.1 + 0.2 + 0.05) / 3)


async def test_it_takes_the_filters_of_all_measures(
    ctx: Context, scenario: Scenario, period: Period
) -> None:
    await scenario.policy(segments=["source"])
    await scenario.decided(confidence=0.9, segment={"source": "tweets"})
    await scenario.decided(confidence=0.6, segment={"source": "nyt"}, model_version="2")
    await scenario.decided(confidence=0.7, label="negative")

    async def error(which: Selection) -> float | None:
        found = await error_without_labels_of(ctx, scenario.project, period, which)
        assert found is not None
        return found.estimate.error

    assert await error(Selection(segment={"source": "tweets"})) == pytest.approx(0.1)
    assert await error(Selection(model_version="2")) == pytest.approx(0.4)
    assert await error(Selection(label="negative")) == pytest.approx(0.3)
    assert await error(Selection(model="none")) is None
    # what is accepted has no queue
    queue = Selection(queue="audits")
    assert await error_without_labels_of(ctx, scenario.project, period, queue) is None


async def test_decisions_count_by_their_time_and_project(
    ctx: Context, scenario: Scenario, period: Period, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scenario.policy()
    chance = random.Random(1)
    for at in (
        period.start - timedelta(seconds=1),
        period.start,
        period.end - timedelta(seconds=1),
        period.end,
    ):
        low = lowest_id_at(at).int
        monkeypatch.setattr(predict_flow, "utc_now", lambda at=at: at)
        monkeypatch.setattr(
            predict_flow,
            "new_id",
            lambda low=low: uuid.UUID(int=low | 7 << 76 | 2 << 62 | chance.getrandbits(62)),
        )
        await scenario.decided(confidence=0.9)
    other = await Scenario.start(ctx)

    ours = await error_without_labels_of(ctx, scenario.project, period, EVERYTHING)
    theirs = await error_without_labels_of(ctx, other.project, period, EVERYTHING)

    assert ours is not None
    assert theirs is not None
    assert (ours.estimate.predictions, theirs.estimate.predictions) == (2, 0)


async def test_of_many_those_drawn_for_an_audit_speak_by_their_weight(
    ctx: Context, scenario: Scenario, period: Period, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimated_error, "EXACT_MAX", 3)
    await scenario.policy(audit={"probability": 1.0, "per_label": {"negative": 0.5}})
    for confidence in (0.9, 0.8, 0.7, 0.6):
        await scenario.decided(confidence=confidence)

    found = await error_without_labels_of(ctx, scenario.project, period, EVERYTHING)

    assert found is not None
    assert (found.basis, found.estimate.predictions) == ("audited", 4)
    assert found.estimate.error == pytest.approx(0.25)


async def test_it_stands_beside_the_audited_error_with_what_it_assumes(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.policy()
    await scenario.decided(confidence=0.9)

    answer = (await client.get("/v1/metrics/accepted-error")).json()
    by_queue = (await client.get("/v1/metrics/accepted-error?queue=audits")).json()

    assert answer["without_labels"] == {
        "value": pytest.approx(0.1),
        "low": 0,
        "high": pytest.approx(0.1 + 2.5758 * 0.3, abs=1e-4),
        "predictions": 1,
        "basis": "all",
        "assumes": "p(y|x) unchanged",
    }
    assert by_queue["without_labels"] is None
