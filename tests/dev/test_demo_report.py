"""What the demo counts, prints and writes."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from app.dev.demo.cases import Case
from app.dev.demo.classifier import Scored
from app.dev.demo.report import DemoResult, DomainResult, Estimate, closing_words, document, table
from app.dev.demo.tally import Streamed, domain_result
from app.dev.demo.texts import Text

ESTIMATE = Estimate(0.5, 0.1, 0.9)

BEGAN = datetime(2026, 11, 24, tzinfo=UTC)


def case(number: int, *, truth: str, label: str, ratings: tuple[int, ...] = (1, 1, 0)) -> Case:
    scores = {"negative": 0.1, "neutral": 0.2, "positive": 0.3} | {label: 0.6}
    text = Text(f"nyt/{number}", "nyt", "a text", ratings)
    return Case(text, truth, Scored(label, scores, {}, []))


def decision(route: str, *, audited: bool = False) -> dict[str, object]:
    item = {"queue": "any"} if audited or route == "review" else None
    return {"route": route, "audit": {"selected": audited}, "item": item}


def streamed() -> Streamed:
    cases = [
        case(1, truth="positive", label="positive"),
        case(2, truth="positive", label="negative"),
        case(3, truth="positive", label="positive"),
        case(4, truth="positive", label="negative"),
        case(5, truth="neutral", label="neutral", ratings=(0, 0, -1)),
    ]
    decisions = [
        decision("accept"),
        decision("accept", audited=True),
        decision("accept"),
        decision("review"),
        decision("review"),
    ]
    return Streamed("nyt", cases, decisions, BEGAN, seconds=2.0)


def printed(result: DomainResult) -> str:
    page = io.StringIO()
    Console(file=page, width=80).print(table([result] * 4))
    return page.getvalue()


def test_a_domain_is_counted_by_route_and_judged_by_the_truth() -> None:
    result = domain_result(streamed(), {"nyt/4": "positive", "nyt/5": "negative"}, ESTIMATE)

    assert (result.predictions, result.accepted, result.reviewed, result.audited) == (5, 3, 2, 1)
    assert result.model_accuracy == pytest.approx(3 / 5)
    assert result.accepted_error_true == pytest.approx(1 / 3)
    assert result.mean_confidence == pytest.approx(0.6)
    assert result.throughput_per_s == pytest.approx(2.5)


def test_reviewers_are_compared_with_the_model_and_with_the_panel() -> None:
    result = domain_result(streamed(), {"nyt/4": "positive", "nyt/5": "negative"}, ESTIMATE)

    assert result.reviewer_model_agreement == pytest.approx(0)
    assert result.reviewer_panel_agreement == pytest.approx(1 / 2)


def test_alpha_is_taken_between_all_raters_of_the_reviewed_texts() -> None:
    result = domain_result(streamed(), {}, ESTIMATE)

    # Two units (1, 1, 0) and (0, 0, -1) as labels: observed disagreement 4 / 6, expected
    # 1 - (2*1 + 3*2 + 1*0) / (6*5) = 22 / 30.
    assert result.raters_alpha == pytest.approx(1 - (4 / 6) / (22 / 30))


def test_items_that_wait_for_a_human_are_reviews_and_audits() -> None:
    assert streamed().asked == 3


def test_a_domain_without_texts_has_no_shares() -> None:
    result = domain_result(Streamed("nyt", [], [], BEGAN, 1.0), {}, Estimate(None, None, None))

    assert result.model_accuracy is None
    assert result.accepted_error_true is None
    assert "%" not in printed(result).replace("95 % interval, in %", "")


@pytest.mark.parametrize(
    ("truth", "answer"),
    [(0.1, True), (0.9, True), (0.0999, False), (0.95, False), (None, None)],
)
def test_an_interval_covers_its_ends(truth: float | None, answer: bool | None) -> None:
    assert ESTIMATE.covers(truth) is answer


def test_the_table_fits_eighty_columns_and_says_when_the_truth_was_missed() -> None:
    result = domain_result(streamed(), {}, Estimate(0.95, 0.9, 1.0))

    lines = printed(result).splitlines()

    assert "33.3 %" in next(line for line in lines if "true error of accepted" in line)
    assert "90.0-100.0" in next(line for line in lines if "interval" in line)
    assert "NO" in next(line for line in lines if "covers the truth" in line)
    assert not any("…" in line for line in lines)


def test_the_document_has_the_promised_keys() -> None:
    found = DemoResult((domain_result(streamed(), {}, ESTIMATE),), 2.5, 3, 1.5)

    written = document(found)

    assert set(written) == {"domains", "throughput_per_s"}
    assert written["domains"] == [
        {
            "name": "nyt",
            "predictions": 5,
            "accepted": 3,
            "reviewed": 2,
            "audited": 1,
            "model_accuracy": pytest.approx(0.6),
            "accepted_error_true": pytest.approx(1 / 3),
            "accepted_error_estimate": {"value": 0.5, "low": 0.1, "high": 0.9},
        }
    ]


def test_the_closing_words_name_what_is_assumed() -> None:
    found = DemoResult((), 2.5, 1234, 1.5)

    words = closing_words(found, seconds_spent=12)

    assert "1,234 verdicts" in words
    assert "12 seconds" in words
