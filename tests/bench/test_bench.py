"""The bench runs from end to end; how fast anything is, no test says."""

import json
from pathlib import Path

import pytest

from app.dev.bench import main as bench

FIGURES = ("ours_per_s", "baseline_per_s", "ratio", "p50_ms", "p99_ms")


@pytest.mark.slow  # a database, a server and a worker, twice, each as the real process
@pytest.mark.timeout(180)
def test_every_case_gives_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ROUNDS", 1)
    figures = tmp_path / "bench.json"

    status = bench.main(json_path=figures, cases=None, seconds=0.1)

    assert status == 0
    cases = json.loads(figures.read_text())["cases"]
    assert [case["name"] for case in cases] == ["single", "batch", "claim-verdict", "cold-start"]
    for case in cases:
        assert all(case[name] > 0 for name in FIGURES), case
        assert case["p99_ms"] >= case["p50_ms"]
        assert case["baseline"]
    assert cases[-1]["seconds"] > 0


@pytest.mark.parametrize(
    ("cases", "seconds"),
    [
        pytest.param(["no-such-case"], 1.0, id="a case that is not there"),
        pytest.param(None, 0.0, id="no time at all"),
    ],
)
def test_what_cannot_be_measured_is_said(
    cases: list[str] | None, seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    status = bench.main(json_path=None, cases=cases, seconds=seconds)

    assert status == 2
    assert "claim-verdict" in capsys.readouterr().out
