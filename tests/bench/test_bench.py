"""The bench runs from end to end; how fast anything is, no test says."""

import json
import shutil
from pathlib import Path

import pytest

from app.dev.bench import main as bench
from app.dev.bench import ndjson

FIGURES = ("ours_per_s", "baseline_per_s", "ratio", "p50_ms", "p99_ms")
CASES = [
    "single",
    "single-lane",
    "single-plain",
    "batch",
    "batch-watched",
    "batch-watched-50",
    "ndjson",
    "open-loop",
    "claim-verdict",
    "engine",
    "cold-start",
]
DECISIONS, ASSIGNMENTS = 300, 30


@pytest.mark.slow  # a database, servers and a worker, twice, each as the real process
@pytest.mark.timeout(180)
def test_every_case_gives_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(ndjson, "ROWS", 1000)
    figures = tmp_path / "bench.json"

    status = _bench(figures, None, seconds=0.1)

    assert status == 0
    written = json.loads(figures.read_text())
    assert [case["name"] for case in written["cases"]] == CASES
    for case in written["cases"]:
        assert all(case[name] > 0 for name in FIGURES), case
        assert case["p99_ms"] >= case["p50_ms"]
        assert case["baseline"]
    cases = {case["name"]: case for case in written["cases"]}
    assert cases["cold-start"]["seconds"] > 0
    assert cases["open-loop"]["p99_over_p50"] >= 1
    assert "growth" not in written


@pytest.mark.parametrize(
    ("cases", "seconds", "assignments", "said"),
    [
        pytest.param(["no-such-case"], 1.0, 30, "claim-verdict", id="a case that is not there"),
        pytest.param(None, 0.0, 30, "more than 0 seconds", id="no time at all"),
        pytest.param(["growth"], 1.0, 0, "at least one assignment", id="nothing to claim"),
        pytest.param(["growth"], 1.0, DECISIONS, "more decisions", id="everything asks a human"),
    ],
)
def test_what_cannot_be_measured_is_said(
    cases: list[str] | None,
    seconds: float,
    assignments: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = _bench(None, cases, seconds=seconds, assignments=assignments)

    assert status == 2
    assert said in capsys.readouterr().out


def test_a_disk_that_is_too_full_is_said_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = shutil._ntuple_diskusage(total=10**9, used=10**9 - 1, free=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)

    status = _bench(None, ["growth"], seconds=0.1)

    assert status == 1
    assert "Make room" in capsys.readouterr().out


def _bench(
    figures: Path | None,
    cases: list[str] | None,
    *,
    seconds: float,
    assignments: int = ASSIGNMENTS,
) -> int:
    return bench.main(
        json_path=figures,
        cases=cases,
        seconds=seconds,
        decisions=DECISIONS,
        assignments=assignments,
    )
