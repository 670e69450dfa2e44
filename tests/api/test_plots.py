"""Pictures of monitors."""

import uuid
import xml.etree.ElementTree as ET
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from app.api.drawing import labels_of
from app.core.drift.evaluate import StreamWindow, evaluate
from app.core.drift.spec import CategoricalBins, ConfidenceBins, NumericBins, ShareBins, cell_count
from app.core.drift.windows import Timing
from app.flows import concept, monitor_plot
from app.flows.context import Context
from app.store.monitor_history import Evaluated
from tests.scenario import Scenario
from tests.store.metric_rows import DAY, CountRow, Rows
from tests.watched_model import HOUR, MIDNIGHT, WatchedModel, document_of, drifted, usual

MINUTE = timedelta(minutes=1)
# what breaks SVG, and what a library may take for a formula
ODD = "<b>&\x01 $x_{$"


def odd(chance: Any) -> dict[str, Any]:
    row = usual(chance)
    return {**row, "features": {"language": chance.choice(["de", ODD])}}


@pytest.fixture
async def drifting(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> WatchedModel:
    """Three calm hours, then two of longer inputs."""
    model = await WatchedModel.start(
        scenario, monkeypatch, "features", timing=Timing(3600, 900, (1,))
    )
    for n in range(5):
        draw = usual if n < 3 else drifted
        await model.predicted(MIDNIGHT + n * HOUR + MINUTE, 200, draw)
    await model.evaluate(MIDNIGHT + 6 * HOUR)
    return model


async def texts_of(client: httpx.AsyncClient, path: str) -> list[str]:
    response = await client.get(path)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/svg+xml"
    root = ET.fromstring(response.content)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(found.itertext()) for found in root.iter("{http://www.w3.org/2000/svg}text")]


async def test_the_worst_stream_is_drawn_with_thresholds_and_states(
    client: httpx.AsyncClient, drifting: WatchedModel
) -> None:
    texts = await texts_of(client, "/v1/monitors/features/plot.svg")

    assert {"shift 0.02", "drift 0.10", "severe 0.25"} <= set(texts)
    assert any(text.startswith("feature:length") for text in texts)
    assert {"stable", "drifting"} <= set(texts)
    assert {"share of predictions (%)", "end of the window (UTC)"} <= set(texts)
    assert f"reference {drifting.reference.name}@1 (3,000)" in texts
    assert "window 2026-11-23 04:00 to 2026-11-23 05:00 (200)" in texts


async def test_the_same_picture_has_the_same_bytes(
    client: httpx.AsyncClient, drifting: WatchedModel
) -> None:
    one = await client.get("/v1/monitors/features/plot.svg")
    other = await client.get("/v1/monitors/features/plot.svg")

    assert one.content == other.content
    assert b"<dc:date>" not in one.content


async def test_another_stream_is_drawn_when_asked_for(
    client: httpx.AsyncClient, drifting: WatchedModel
) -> None:
    texts = await texts_of(client, "/v1/monitors/features/plot.svg?stream=feature:language")
    unknown = await client.get("/v1/monitors/features/plot.svg?stream=label")

    assert {"feature:language", "de", "en", "missing", "unseen"} <= set(texts)
    assert (unknown.status_code, unknown.json()["errors"][0]["loc"]) == (422, ["query", "stream"])


@pytest.mark.parametrize("query", ["", "?model_version=9", "?segment=source:x", "?length=7"])
async def test_a_picture_without_evaluations_says_so(client: httpx.AsyncClient, query: str) -> None:
    await client.put("/v1/monitors/g", json={"model": "m", "signal": "gap"})

    texts = await texts_of(client, f"/v1/monitors/g/plot.svg{query}")

    assert "Nothing has been evaluated yet: no window has ended." in texts


async def test_texts_of_clients_are_texts_in_the_picture(
    client: httpx.AsyncClient, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(
        scenario,
        monkeypatch,
        "features",
        timing=Timing(3600, 900, (1,)),
        document=document_of(odd, 2000),
    )
    await model.predicted(MIDNIGHT + MINUTE, 200, odd)
    await model.evaluate(MIDNIGHT + 2 * HOUR)

    texts = await texts_of(client, "/v1/monitors/features/plot.svg")

    assert "<b>&\N{REPLACEMENT CHARACTER} $x_{$" in texts


async def test_errors_are_drawn_by_the_day(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario
) -> None:
    ctx.db.now = DAY.start
    body = {"model": "sentiment", "signal": "concept", "certified_error": 0.05}
    await client.put("/v1/monitors/errors", json=body)
    await client.put("/v1/monitors/gap", json={"model": "sentiment", "signal": "gap"})
    rows = Rows(ctx.db, scenario.project)
    await rows.inbox(CountRow(decisions=400))
    await rows.audits(20, wrong=12)
    ctx.db.now = DAY.end + 2 * HOUR
    await concept.run_once(ctx)

    errors = await texts_of(client, "/v1/monitors/errors/plot.svg")
    gap = await texts_of(client, "/v1/monitors/gap/plot.svg")

    assert {"drift 1000", "warning 100", "drifting"} <= set(errors)
    assert "evidence of an error above 6.00 % (no unit)" in errors
    assert "error of accepted predictions (%)" in gap


@pytest.mark.parametrize(
    "bins",
    [
        NumericBins(()),
        NumericBins((1.0,)),
        NumericBins((1.0, 2.0, 3.0)),
        CategoricalBins(("a", "b"), ()),
        CategoricalBins((), None),
        ConfidenceBins(),
        ShareBins(),
    ],
)
def test_every_cell_has_a_name(bins: Any) -> None:
    assert len(labels_of(bins)) == cell_count(bins)


def test_the_worst_of_equally_severe_streams_is_the_one_that_moved_most_for_certain() -> None:
    bins = NumericBins((1.0,))
    family = [
        StreamWindow(name, bins, [1500, 1500, 0], window)
        for name, window in (
            ("moved", [60, 340, 0]),
            ("moved most", [20, 380, 0]),
            ("calm", [200, 200, 0]),
        )
    ]
    window = Evaluated(
        id=uuid.UUID(int=1),
        reference_id=None,
        reference=None,
        reference_version=None,
        model_version="1",
        segment="",
        first_bucket=1,
        last_bucket=1,
        state="drifting",
        results=msgspec.to_builtins(evaluate(family)),
        evaluated_at=MIDNIGHT,
    )

    assert [found["severity"] for found in window.results] == ["severe", "severe", "none"]
    assert monitor_plot.worst_stream(window) == "moved most"
