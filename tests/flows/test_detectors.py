"""Detectors: fitted by a job, one at a time for a model, and what predictions then get."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from app.core.drift.familiar import ROWS_MIN, FamiliarRow, Sent, Training
from app.core.drift.judged import DetectorState, Judged
from app.core.errors import Invalid, NotFound, Overloaded, OverruleError, StateConflict
from app.core.jobs import ABANDONED, Job, JobState
from app.flows import detectors, jobs, judging, policies
from app.flows.context import Context
from app.flows.predict import TURN_ROWS, Answered, dry_run
from app.settings import Settings
from app.store import detectors as store
from app.store.detectors import Detector
from app.store.engine import Database
from app.store.ids import utc_now
from app.store.jobs import claim_job, fail_job
from app.store.policies import routing_view
from tests.scenario import Scenario

MODEL = "sentiment"
D = 6
STRANGE = [30.0] * D
RULE = {
    "id": "unknown",
    "out_of_distribution": {"max_p": 0.01},
    "route": "review",
    "queue": "triage",
}


def training(rows: int = ROWS_MIN, seed: int = 1, dimension: int = D) -> Training:
    vectors = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    return Training(dimension, vectors.tobytes(), ["a"] * rows)


def scores_training() -> Training:
    sent = Sent()
    for place in range(ROWS_MIN):
        top = 0.6 + 0.3 * place / ROWS_MIN
        sent.add(FamiliarRow(scores={"positive": top, "negative": 1 - top}))
    return sent.training()


async def ready(
    ctx: Context, scenario: Scenario, name: str = "tweets", rows: Training | None = None
) -> Detector:
    """A detector of the scenario's model, fitted."""
    await detectors.put(ctx, scenario.caller, name, MODEL, rows or training())
    assert await jobs.run_once(ctx) == 1
    found = await detectors.find(ctx, scenario.project, name)
    assert found.state is DetectorState.READY
    return found


async def job_of(ctx: Context, scenario: Scenario, detector: Detector) -> Job:
    return await jobs.find(ctx, scenario.project, detector.job_id)


async def changes(ctx: Context, scenario: Scenario) -> list[tuple[str, str]]:
    async with ctx.db.read() as tx:
        rows = await tx.raw.fetch(
            "SELECT action, target FROM change_log WHERE project_id = $1 AND action LIKE 'detec%' "
            "ORDER BY id",
            scenario.project,
        )
    return [tuple(row) for row in rows]


async def test_a_detector_is_fitted_by_a_job_and_then_judges_its_model(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(RULE)
    before = await scenario.decided(embedding=STRANGE)

    asked = await detectors.put(ctx, scenario.caller, "tweets", MODEL, training())
    await jobs.run_once(ctx)

    found = await detectors.find(ctx, scenario.project, "tweets")
    job = await job_of(ctx, scenario, found)
    usual = await scenario.decided(embedding=[0.1] * D)
    strange = await scenario.decided(embedding=STRANGE)
    assert (asked.state, asked.digest, asked.ready_at) == (DetectorState.FITTING, None, None)
    assert (found.id, found.state, found.version) == (asked.id, DetectorState.READY, 1)
    assert found.summary is not None
    assert found.summary["dimension"] == D
    assert (job.state, job.done, job.total) == (JobState.DONE, 3000, 4000)
    assert job.result["detector"] == str(found.id)
    assert before.decision.unfamiliar is None
    assert usual.decision.unfamiliar is not None
    assert usual.decision.unfamiliar.p is not None
    assert usual.decision.unfamiliar.p > 0.1
    assert (usual.decision.outcome.route, strange.decision.outcome.reason) == ("accept", "unknown")
    assert strange.decision.outcome.observed == [strange.decision.unfamiliar.p]  # type: ignore[union-attr]
    assert await changes(ctx, scenario) == [
        ("detector.put", "detector:tweets@1"),
        ("detector.fit", "detector:tweets@1"),
    ]


async def test_the_rows_are_let_go_of_once_it_is_fitted(ctx: Context, scenario: Scenario) -> None:
    found = await ready(ctx, scenario)

    async with ctx.db.read() as tx:
        assert await store.training_of(tx, scenario.project, found.id) is None
        blob = await store.fitted_blob(tx, scenario.project, found.id)
    assert blob is not None


async def test_what_a_decision_recorded_is_what_its_detector_says_of_the_recorded_vector(
    ctx: Context, scenario: Scenario
) -> None:
    found = await ready(ctx, scenario)
    vector = [0.1, 1 / 3, -2.7, 0.0, 1e-12, 0.5]
    answered = await scenario.decided(embedding=vector)

    async with ctx.db.read() as tx:
        row = await tx.raw.fetchrow(
            "SELECT embedding, unfamiliar_p, unfamiliar_score, detector_id FROM decisions "
            "WHERE project_id = $1 AND id = $2",
            scenario.project,
            answered.decision.id,
        )
    detector = await ctx.views.detector(scenario.project, found.id)
    assert detector is not None
    kept = np.frombuffer(row["embedding"], "<f4").tolist()
    (again,) = detector.judge([scenario.posted(embedding=kept)])
    assert isinstance(again, Judged)
    assert row["detector_id"] == found.id
    assert again.unfamiliar.p == row["unfamiliar_p"]
    assert again.unfamiliar.score == pytest.approx(row["unfamiliar_score"], rel=1e-9)


async def test_a_newer_detector_takes_the_place_of_the_model_s_present_one(
    ctx: Context, scenario: Scenario
) -> None:
    first = await ready(ctx, scenario, "tweets")
    second = await ready(ctx, scenario, "news", training(seed=2))

    answered = await scenario.decided(embedding=STRANGE)

    former = await detectors.find(ctx, scenario.project, "tweets")
    assert (former.id, former.state) == (first.id, DetectorState.RETIRED)
    assert former.digest == first.digest
    assert answered.decision.unfamiliar is not None
    assert answered.decision.unfamiliar.detector == second.id
    assert (await changes(ctx, scenario))[-2:] == [
        ("detector.replace", "detector:tweets@1"),
        ("detector.fit", "detector:news@1"),
    ]


async def test_one_that_is_fitted_after_a_newer_one_does_not_take_its_place(
    ctx: Context, scenario: Scenario
) -> None:
    await detectors.put(ctx, scenario.caller, "tweets", MODEL, training())
    newer = await detectors.put(ctx, scenario.caller, "tweets", MODEL, training(seed=2))
    async with ctx.db.write() as tx:
        # the first one's job was put off
        await tx.raw.execute(
            "UPDATE jobs SET run_after = run_after + interval '1 hour' WHERE id <> $1",
            newer.job_id,
        )
    await jobs.run_once(ctx)
    async with ctx.db.write() as tx:
        await tx.raw.execute("UPDATE jobs SET run_after = run_after - interval '2 hours'")

    await jobs.run_once(ctx)

    async with ctx.db.read() as tx:
        found = await store.list_detectors(tx, scenario.project, None, 10)
    assert [(one.version, one.state) for one in found] == [
        (1, DetectorState.RETIRED),
        (2, DetectorState.READY),
    ]


async def test_two_models_have_a_detector_each(ctx: Context, scenario: Scenario) -> None:
    first = await ready(ctx, scenario)
    await detectors.put(ctx, scenario.caller, "others", "toxicity", training(dimension=3))
    await jobs.run_once(ctx)

    one = await scenario.decided(embedding=[0.1] * D)
    other = await scenario.decided(model="toxicity", embedding=[0.1] * 3)
    third = await scenario.decided(model="topics", embedding=[0.1])

    assert one.decision.unfamiliar is not None
    assert other.decision.unfamiliar is not None
    assert one.decision.unfamiliar.detector == first.id
    assert other.decision.unfamiliar.detector != first.id
    assert third.decision.unfamiliar is None


async def test_two_projects_are_apart(ctx: Context, scenario: Scenario) -> None:
    other = await Scenario.start(ctx)
    mine = await ready(ctx, scenario)
    theirs = await ready(ctx, other)

    answered = await other.decided(embedding=STRANGE)
    await detectors.retire(ctx, other.caller, "tweets")

    still = await scenario.decided(embedding=STRANGE)
    assert answered.decision.unfamiliar is not None
    assert answered.decision.unfamiliar.detector == theirs.id
    assert still.decision.unfamiliar is not None
    assert still.decision.unfamiliar.detector == mine.id
    assert [one.id for one in await detectors.list_detectors(ctx, other.project, None, 9)] == [
        theirs.id
    ]


async def test_a_retired_detector_judges_nothing_and_stays_retired(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(RULE)
    await ready(ctx, scenario)

    once = await detectors.retire(ctx, scenario.caller, "tweets")
    twice = await detectors.retire(ctx, scenario.caller, "tweets")

    answered = await scenario.decided(embedding=STRANGE)
    assert (once.state, twice.state) == (DetectorState.RETIRED, DetectorState.RETIRED)
    assert answered.decision.unfamiliar is None
    assert answered.decision.outcome.route == "accept"
    assert [action for action, _ in await changes(ctx, scenario)].count("detector.retire") == 1


async def test_a_change_through_this_replica_is_seen_at_once(
    db: Database, settings: Settings
) -> None:
    ctx = Context.over(db, settings.model_copy(update={"cache_s": 60.0}))
    async with ctx.running():
        scenario = await Scenario.start(ctx)
        before = await scenario.decided(embedding=STRANGE)
        await ready(ctx, scenario)
        between = await scenario.decided(embedding=STRANGE)
        await detectors.retire(ctx, scenario.caller, "tweets")
        behind = await scenario.decided(embedding=STRANGE)

    judged = [one.decision.unfamiliar is not None for one in (before, between, behind)]
    assert judged == [False, True, False]


async def test_the_ready_version_is_retired_while_the_next_is_being_fitted(
    ctx: Context, scenario: Scenario
) -> None:
    await ready(ctx, scenario)
    await detectors.put(ctx, scenario.caller, "tweets", MODEL, training())

    retired = await detectors.retire(ctx, scenario.caller, "tweets")

    assert (retired.version, retired.state) == (1, DetectorState.RETIRED)


async def test_one_that_was_never_ready_cannot_be_retired(ctx: Context, scenario: Scenario) -> None:
    await detectors.put(ctx, scenario.caller, "tweets", MODEL, training())

    with pytest.raises(StateConflict):
        await detectors.retire(ctx, scenario.caller, "tweets")
    with pytest.raises(NotFound):
        await detectors.retire(ctx, scenario.caller, "nobody")


async def test_a_prediction_without_embedding_is_missing_and_fires(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(RULE)
    found = await ready(ctx, scenario)

    answered = await scenario.decided()

    assert answered.decision.unfamiliar is not None
    assert answered.decision.unfamiliar.p is None
    assert answered.decision.unfamiliar.detector == found.id
    assert answered.decision.outcome.reason == "unknown"


@pytest.mark.parametrize("embedding", [[0.1] * (D + 1), [0.0] * D])
async def test_an_embedding_that_the_detector_cannot_take_is_refused(
    ctx: Context, scenario: Scenario, embedding: list[float]
) -> None:
    await ready(ctx, scenario)
    posted = scenario.posted(embedding=embedding)

    (result,) = await scenario.decide(posted)

    assert isinstance(result, Invalid)
    assert f"{D} numbers" in result.detail
    assert [loc for loc, _ in result.places] == [("embedding",)]
    with pytest.raises(Invalid, match=f"{D} numbers"):
        await dry_run(ctx, scenario.project, posted)


async def test_a_request_from_before_the_detector_is_answered_as_the_first_time(
    ctx: Context, scenario: Scenario
) -> None:
    posted = scenario.posted(embedding=[0.1] * (D + 1))
    (first,) = await scenario.decide(posted)
    await ready(ctx, scenario)

    (again,) = await scenario.decide(posted)

    assert isinstance(first, Answered)
    assert isinstance(again, Answered)
    assert (again.decision.id, again.first) == (first.decision.id, False)


async def test_a_dry_run_is_judged_too(ctx: Context, scenario: Scenario) -> None:
    await scenario.policy(RULE)
    await ready(ctx, scenario)

    answered = await dry_run(ctx, scenario.project, scenario.posted(embedding=STRANGE))

    assert answered.decision.outcome.reason == "unknown"


async def test_a_batch_keeps_its_order_whatever_is_refused_and_whoever_has_a_detector(
    ctx: Context, scenario: Scenario
) -> None:
    found = await ready(ctx, scenario)
    unread = Invalid("unread")
    rows: list[Any] = []
    for place in range(2 * TURN_ROWS + 7):
        match place % 5:
            case 0:
                rows.append(scenario.posted(embedding=[0.1] * D, label=f"l-{place}"))
            case 1:
                rows.append(scenario.posted(model="topics", label=f"l-{place}"))
            case 2:
                rows.append(scenario.posted(embedding=[0.1], label=f"l-{place}"))
            case 3:
                rows.append(scenario.posted(label=f"l-{place}"))
            case _:
                rows.append(unread)

    results = await scenario.decide(*rows)

    seen = [
        (result.decision.label, result.decision.unfamiliar is not None)
        if isinstance(result, Answered)
        else result.detail
        for result in results
    ]
    wrong = f"The model's detector needs an embedding of {D} numbers, not 1."
    assert len(seen) == len(rows)
    for place, one in enumerate(seen):
        expected = [(f"l-{place}", True), (f"l-{place}", False), wrong, (f"l-{place}", True)]
        assert one == [*expected, "unread"][place % 5]
    judged = results[0]
    assert isinstance(judged, Answered)
    assert judged.decision.unfamiliar is not None
    assert judged.decision.unfamiliar.detector == found.id


async def test_of_two_rows_with_one_request_key_the_first_counts_whoever_has_a_detector(
    ctx: Context, scenario: Scenario
) -> None:
    await ready(ctx, scenario)

    first, second = await scenario.decide(
        scenario.posted(request_key="r", model="topics"),
        scenario.posted(request_key="r", embedding=[0.1] * D),
    )

    assert isinstance(first, Answered)
    assert isinstance(second, OverruleError)
    assert second.code == "request_key_conflict"


async def test_without_a_detector_a_row_is_decided_before_the_next_is_read(
    ctx: Context, scenario: Scenario
) -> None:
    read: list[int] = []

    def rows() -> Any:
        for place in range(3):
            read.append(place)
            yield scenario.posted()

    seen = []
    async for turn in judging.turns(ctx, scenario.project, {}, rows(), TURN_ROWS):
        for _, judged in turn:
            seen.append((len(read), judged))

    assert seen == [(1, None), (2, None), (3, None)]


async def test_scores_are_judged_where_there_are_no_embeddings(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(RULE)
    await ready(ctx, scenario, rows=scores_training())

    sure, unsure = [
        await scenario.decided(scores={"positive": top, "negative": 1 - top}) for top in (0.9, 0.51)
    ]
    bare = await scenario.decided()

    assert sure.decision.outcome.route == "accept"
    assert unsure.decision.outcome.reason == "unknown"
    assert unsure.decision.unfamiliar is not None
    assert unsure.decision.unfamiliar.p == pytest.approx(1 / (ROWS_MIN + 1))
    assert bare.decision.unfamiliar is not None
    assert bare.decision.unfamiliar.p is None


async def test_recorded_predictions_of_a_range_are_fitted_on(
    ctx: Context, scenario: Scenario
) -> None:
    chance = np.random.default_rng(3)
    rows = [
        scenario.posted(embedding=chance.normal(size=D).tolist(), label="abc"[place % 3])
        for place in range(ROWS_MIN + 30)
    ]
    rows += [scenario.posted(model="topics", embedding=[1.0]) for _ in range(200)]
    rows += [scenario.posted() for _ in range(5)]
    since = utc_now() - timedelta(seconds=1)
    for begin in range(0, len(rows), 1000):
        await scenario.decide(*rows[begin : begin + 1000])
    until = utc_now() + timedelta(milliseconds=2)
    await asyncio.sleep(0.005)
    await scenario.decide(scenario.posted(embedding=[9.0] * (D + 1)))

    await detectors.put(ctx, scenario.caller, "own", MODEL, detectors.Span(since, until))
    await jobs.run_once(ctx)

    found = await detectors.find(ctx, scenario.project, "own")
    assert found.summary is not None, await job_of(ctx, scenario, found)
    assert found.summary["fitted_on"] + found.summary["calibrated_on"] == ROWS_MIN + 30
    assert (found.summary["left_out"], found.summary["classes"]) == (5, 3)
    assert set(found.source["from_predictions"]) == {"from", "to"}


async def test_a_range_with_too_little_fails_and_says_so(ctx: Context, scenario: Scenario) -> None:
    await scenario.decided(embedding=[1.0] * D)
    since = utc_now() - timedelta(hours=1)

    await detectors.put(
        ctx, scenario.caller, "own", MODEL, detectors.Span(since, since + timedelta(days=1))
    )
    await jobs.run_once(ctx)

    found = await detectors.find(ctx, scenario.project, "own")
    job = await job_of(ctx, scenario, found)
    assert (found.state, job.state) == (DetectorState.FAILED, JobState.FAILED)
    assert job.failure is not None
    assert "1 predictions of the model, 1 with an embedding" in job.failure.detail


async def test_rows_from_which_nothing_can_be_told_fail_and_are_let_go_of(
    ctx: Context, scenario: Scenario
) -> None:
    equal = Training(2, np.ones((ROWS_MIN, 2), np.float32).tobytes(), [None] * ROWS_MIN)

    asked = await detectors.put(ctx, scenario.caller, "tweets", MODEL, equal)
    await jobs.run_once(ctx)

    job = await job_of(ctx, scenario, asked)
    assert job.failure is not None
    assert "all equal" in job.failure.detail
    assert (await changes(ctx, scenario))[-1] == ("detector.fail", "detector:tweets@1")
    async with ctx.db.read() as tx:
        assert await store.training_of(tx, scenario.project, asked.id) is None


async def test_a_detector_whose_job_was_given_up_has_failed(
    ctx: Context, scenario: Scenario
) -> None:
    asked = await detectors.put(ctx, scenario.caller, "tweets", MODEL, training())
    async with ctx.db.write() as tx:
        job = await claim_job(tx, scenario.project, [detectors.KIND], jobs.LEASE_S)
        assert job is not None
        await fail_job(tx, job, ABANDONED)

    found = await detectors.find(ctx, scenario.project, "tweets")

    assert (found.id, found.state) == (asked.id, DetectorState.FAILED)
    async with ctx.db.read() as tx:
        assert await store.being_fitted(tx, scenario.project) == 0


async def test_an_attempt_after_the_one_that_fitted_changes_nothing(
    ctx: Context, scenario: Scenario
) -> None:
    found = await ready(ctx, scenario)
    job = await job_of(ctx, scenario, found)

    async def report(_: int, __: int | None) -> None:
        raise AssertionError("nothing is left to do")

    result = await detectors.work(ctx, job, report)

    assert result == job.result
    assert await detectors.find(ctx, scenario.project, "tweets") == found


async def test_a_project_has_at_most_four_that_are_being_fitted(
    ctx: Context, scenario: Scenario
) -> None:
    for _ in range(detectors.FITTING_MAX):
        await detectors.put(ctx, scenario.caller, "tweets", MODEL, training())

    with pytest.raises(Overloaded):
        await detectors.put(ctx, scenario.caller, "tweets", MODEL, training())


async def test_a_blob_of_another_format_makes_predictions_missing_and_refuses_none(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(RULE)
    found = await ready(ctx, scenario)
    async with ctx.db.write() as tx:
        other = msgspec.msgpack.encode({"format": "overrule-detector/later/9"})
        await tx.raw.execute("UPDATE detectors SET fitted = $1 WHERE id = $2", other, found.id)

    answered = await scenario.decided(embedding=[0.1] * D)

    assert answered.decision.unfamiliar is not None
    assert answered.decision.unfamiliar.p is None
    assert answered.decision.outcome.reason == "unknown"


async def test_a_detector_is_loaded_once(
    ctx: Context, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ready(ctx, scenario)
    loaded: list[uuid.UUID] = []
    read = store.fitted_blob

    async def counted(tx: Any, project_id: uuid.UUID, detector_id: uuid.UUID) -> bytes | None:
        loaded.append(detector_id)
        return await read(tx, project_id, detector_id)

    monkeypatch.setattr(store, "fitted_blob", counted)

    await asyncio.gather(*(scenario.decided(embedding=[0.1] * D) for _ in range(5)))
    await scenario.decided(embedding=[0.1] * D)

    assert len(loaded) == 1


async def test_two_workers_that_finish_together_leave_one_ready(
    committed_ctx: Context,
) -> None:
    scenario = await Scenario.start(committed_ctx)
    for seed in (1, 2):
        await detectors.put(committed_ctx, scenario.caller, f"d-{seed}", MODEL, training(seed=seed))

    await asyncio.gather(jobs.run_once(committed_ctx), jobs.run_once(committed_ctx))

    async with committed_ctx.db.read() as tx:
        view = await routing_view(tx, scenario.project)
        found = await store.list_detectors(tx, scenario.project, None, 9)
    assert [one.state for one in found] == [DetectorState.RETIRED, DetectorState.READY]
    assert view.detectors == {MODEL: found[1].id}


async def test_a_policy_that_asks_for_a_detector_is_warned_of_until_there_is_one(
    ctx: Context, scenario: Scenario
) -> None:
    for queue in ("triage", "audits"):
        await scenario.queue(queue)
    document = scenario.document(RULE)

    before = await policies.validate(ctx, scenario.project, document)
    await ready(ctx, scenario)
    put = await policies.put(ctx, scenario.caller, document["name"], document)

    assert [place for place, _ in before] == [("rules", 0, "out_of_distribution")]
    assert put.warnings == []
