"""References from rows and from recorded predictions, through the database."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from app.core.drift import reference as core
from app.core.drift.detector_fit import calibrated, learnt_from
from app.core.drift.familiar import Training
from app.core.drift.judged import DetectorState
from app.core.drift.reference import Reference, digest_of
from app.core.drift.rows import ReferenceRow
from app.core.drift.spec import NumericBins
from app.core.errors import Invalid, Loc, NotFound
from app.flows import references as flow
from app.flows.context import Context
from app.store import detectors
from app.store import references as store
from app.store.ids import new_id
from tests.scenario import Scenario

SENTIMENT = flow.Scope("sentiment")


def row(**fields: Any) -> ReferenceRow:
    return msgspec.convert({"label": "positive", "confidence": 0.9, **fields}, ReferenceRow)


async def chunks(*rows: ReferenceRow) -> AsyncIterator[list[tuple[Loc, ReferenceRow]]]:
    for place, one in enumerate(rows):
        yield [(("rows", place), one)]


async def put(
    scenario: Scenario, *rows: ReferenceRow, scope: flow.Scope = SENTIMENT, name: str = "validated"
) -> flow.Put:
    return await flow.put_rows(scenario.ctx, scenario.caller, name, scope, chunks(*rows))


async def recorded(
    scenario: Scenario, scope: flow.Scope = SENTIMENT, asked: flow.Range | None = None
) -> Reference:
    made = await flow.put_predictions(
        scenario.ctx, scenario.caller, "recorded", scope, asked or today()
    )
    return made.reference


def today() -> flow.Range:
    now = datetime.now(UTC)
    return flow.Range(now - timedelta(hours=1), now + timedelta(minutes=1))


def stream(reference: Reference, name: str) -> core.Kept:
    return next(kept for kept in reference.document.streams if kept.stream == name)


async def test_versions_are_numbered_and_the_same_content_is_the_same_version(
    scenario: Scenario,
) -> None:
    first = await put(scenario, row(), row(label="negative"))
    again = await put(scenario, row(label="negative"), row())
    other = await put(scenario, row())

    assert [(made.reference.version, made.new) for made in (first, again, other)] == [
        (1, True),
        (1, False),
        (2, True),
    ]
    assert again.reference.id == first.reference.id


async def test_a_reference_is_read_back_as_it_was_made(ctx: Context, scenario: Scenario) -> None:
    huge = [1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 0.1, 1e22]
    made = await put(scenario, *[row(features={"n": value}) for value in huge])

    found = await flow.find(ctx, scenario.project, "validated", 1)

    assert found == made.reference
    assert isinstance(stream(found, "feature:n").bins, NumericBins)
    assert found.digest == digest_of(
        found.document, model="sentiment", model_version=None, segment=None, detector=None
    )
    async with ctx.db.read() as tx:
        by_id = await store.reference_by_id(tx, scenario.project, found.id)
    assert by_id == found


async def test_the_latest_version_is_found_without_a_number(
    ctx: Context, scenario: Scenario
) -> None:
    await put(scenario, row())
    await put(scenario, row(), row())

    found = await flow.find(ctx, scenario.project, "validated")

    assert found.version == 2


async def test_projects_are_apart(ctx: Context, scenario: Scenario) -> None:
    made = await put(scenario, row())
    other = await Scenario.start(ctx)

    async with ctx.db.read() as tx:
        by_id = await store.reference_by_id(tx, other.project, made.reference.id)

    assert by_id is None
    assert await flow.list_references(ctx, other.project, None, 10) == []
    with pytest.raises(NotFound):
        await flow.find(ctx, other.project, "validated")


async def test_a_new_version_is_in_the_change_log(ctx: Context, scenario: Scenario) -> None:
    await put(scenario, row())
    await put(scenario, row())

    async with ctx.db.read() as tx:
        rows = await tx.raw.fetch(
            "SELECT actor, target, after FROM change_log WHERE action = 'reference.put'"
        )

    (logged,) = rows
    assert (logged["actor"], logged["target"]) == (
        scenario.caller.name,
        "reference:validated@1",
    )
    assert logged["after"]["source"] == {"kind": "rows"}


async def test_a_reference_of_recorded_predictions_is_that_of_the_same_rows(
    scenario: Scenario,
) -> None:
    fields: list[dict[str, Any]] = [
        {"label": "positive", "confidence": 0.9, "features": {"n": 1.0, "lang": "en"}},
        {"label": None, "scores": {"a": 0.75, "b": 0.25}, "confidence": None},
        {"members": [{"name": "a", "label": "x"}, {"name": "b", "label": "y"}], "label": "x"},
        {"embedding": [0.5, 1.5]},
    ]
    for one in fields:
        await scenario.decided(**one)
    posted = [{"label": "positive", "confidence": 0.91, **one} for one in fields]

    from_range = await recorded(scenario)

    from_rows = await put(scenario, *[msgspec.convert(one, ReferenceRow) for one in posted])
    assert from_range.document == from_rows.reference.document
    assert from_range.digest == from_rows.reference.digest
    assert (from_range.source["kind"], from_range.source["looked_at"]) == ("predictions", 4)


async def test_only_what_the_scope_names_is_taken(scenario: Scenario) -> None:
    wanted = {"model_version": "2", "segment": {"source": "tweets"}}
    await scenario.decided(**wanted, confidence=0.5)
    await scenario.decided(**{**wanted, "model_version": "1"})
    await scenario.decided(**{**wanted, "segment": {"source": "nyt"}})
    await scenario.decided(**{**wanted, "segment": None})
    await scenario.decided(**wanted, model="toxicity")

    found = await recorded(scenario, flow.Scope("sentiment", "2", ("source", "tweets")))

    assert (found.predictions, found.model_version, found.segment) == (1, "2", "source:tweets")
    assert stream(found, "confidence").counts[10] == 1


async def test_predictions_of_another_project_are_not_taken(
    ctx: Context, scenario: Scenario
) -> None:
    other = await Scenario.start(ctx)
    await other.decided()
    await scenario.decided()

    found = await recorded(scenario)

    assert (found.predictions, found.source["looked_at"]) == (1, 1)


async def test_of_too_many_predictions_the_newest_are_taken(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "ROWS_MAX", 3)
    monkeypatch.setattr(store, "PAGE_ROWS", 2)
    for label in ("old", "a", "b", "c"):
        await scenario.decided(label=label)

    found = await recorded(scenario)

    bins = msgspec.to_builtins(stream(found, "label").bins)
    assert list(bins["categories"]) == ["a", "b", "c"]
    assert (found.predictions, found.source["complete"]) == (3, False)


async def test_predictions_are_read_page_by_page(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PAGE_ROWS", 2)
    for _ in range(5):
        await scenario.decided()

    found = await recorded(scenario)

    assert found.predictions == 5
    assert "complete" not in found.source


async def test_no_more_decisions_are_looked_at_than_the_limit(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "LOOKED_AT_MAX", 2)
    monkeypatch.setattr(store, "PAGE_ROWS", 1)
    for model in ("sentiment", "sentiment", "toxicity"):
        await scenario.decided(model=model)

    found = await recorded(scenario)

    assert (found.predictions, found.source["looked_at"]) == (1, 2)
    assert found.source["complete"] is False


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        (datetime(1990, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        (datetime(2024, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        # nothing was recorded then
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
    ],
)
async def test_a_range_that_is_none_or_empty_is_refused(
    scenario: Scenario, since: datetime, until: datetime
) -> None:
    with pytest.raises(Invalid) as refused:
        await recorded(scenario, asked=flow.Range(since, until))

    assert refused.value.places[0][0][0] == "from_predictions"


async def test_without_a_detector_embeddings_are_only_seen_to_be_there(
    scenario: Scenario,
) -> None:
    await scenario.decided(embedding=[0.5, 1.5])

    found = await recorded(scenario)

    assert [kept.stream for kept in found.document.streams] == ["label", "confidence", "missing"]
    assert "embedding" in stream(found, "missing").expected


class TestWithDetector:
    """The model has a detector of embeddings of 4 numbers."""

    @pytest.fixture
    async def detector(self, ctx: Context, scenario: Scenario) -> uuid.UUID:
        vectors = np.random.default_rng(1).normal(size=(2500, 4)).astype(np.float32)
        return await ready_detector(scenario, vectors)

    async def test_its_streams_are_there(self, scenario: Scenario, detector: uuid.UUID) -> None:
        near = [row(embedding=[0.1 * n, 0.2, -0.1, 0.3]) for n in range(10)]
        far = row(embedding=[90.0, 80.0, -70.0, 60.0])

        made = (await put(scenario, *near, far)).reference

        names = [kept.stream for kept in made.document.streams]
        assert made.detector_id == detector
        assert names[-7:-1] == [
            *(f"embedding:{component}" for component in range(4)),
            "embedding:score",
            "out_of_distribution",
        ]
        assert stream(made, "out_of_distribution").counts == [10, 1]
        assert stream(made, "embedding:score").counts[-1] == 0

    async def test_a_row_that_it_cannot_judge_is_refused_by_its_place(
        self, scenario: Scenario, detector: uuid.UUID
    ) -> None:
        with pytest.raises(Invalid) as refused:
            await put(scenario, row(), row(embedding=[1.0, 2.0]))

        assert refused.value.places[0][0] == ("rows", 1, "embedding")

    async def test_recorded_embeddings_make_the_same_reference(
        self, scenario: Scenario, detector: uuid.UUID
    ) -> None:
        embeddings = [[0.1 * n, 0.2, -0.1, 0.3] for n in range(10)]
        for embedding in embeddings:
            await scenario.decided(embedding=embedding)

        found = await recorded(scenario)

        rows = [row(confidence=0.91, embedding=embedding) for embedding in embeddings]
        made = (await put(scenario, *rows)).reference
        assert "embedding:3" in [kept.stream for kept in found.document.streams]
        assert found.document == made.document


async def ready_detector(scenario: Scenario, vectors: Any) -> uuid.UUID:
    """A detector fitted on these vectors, as if its job had been done."""
    training = Training(vectors.shape[1], vectors.tobytes(), [None] * len(vectors))
    fitted = calibrated(*learnt_from(training))
    detector_id = new_id()
    async with scenario.ctx.db.write() as tx:
        await detectors.add_detector(
            tx,
            scenario.project,
            detector_id,
            name="familiar",
            version=1,
            model="sentiment",
            training=None,
            source={},
            job_id=new_id(),
            created_by="test",
        )
        await detectors.keep_fitted(
            tx,
            scenario.project,
            detector_id,
            DetectorState.READY,
            digest=fitted.digest,
            fitted=fitted.blob,
            summary=fitted.summary,
        )
    return detector_id


async def test_the_second_range_is_compared_in_the_bins_of_the_first(
    ctx: Context, scenario: Scenario
) -> None:
    for confidence in (0.1, 0.2, 0.3):
        await scenario.decided(confidence=confidence, features={"n": confidence})

    sides = await flow.compare_ranges(ctx, scenario.project, SENTIMENT, today(), today())

    by_name = {one.stream: one for one in sides.compared.streams}
    assert list(by_name) == ["label", "confidence", "feature:n", "missing"]
    assert (by_name["confidence"].m, by_name["confidence"].n) == (3, 3)
    assert by_name["feature:n"].distances.psi == 0
    assert by_name["feature:n"].insufficient == "reference_too_small"
    assert (sides.reference[1], sides.window[1]) == (3, 3)


async def test_an_empty_window_is_compared_too(ctx: Context, scenario: Scenario) -> None:
    await scenario.decided()
    then = datetime(2026, 1, 1, tzinfo=UTC)

    sides = await flow.compare_ranges(
        ctx, scenario.project, SENTIMENT, today(), flow.Range(then, then + timedelta(days=1))
    )

    assert {one.n for one in sides.compared.streams} == {0}
