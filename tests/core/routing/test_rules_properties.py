"""What holds for rules of every kind, whatever the numbers."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.routing.prediction import Prediction
from app.core.routing.rules import KINDS
from app.core.routing.rules.confidence import Confidence
from tests.core.routing.cases import decided, policy, prediction, rule

LABELS = ["a", "b", "c"]
share = st.floats(0, 1)
positive = st.floats(0.001, 1)
segments = st.sampled_from([{}, {"source": "x"}, {"source": "y"}, {"source": "x", "lang": "en"}])


@st.composite
def scores(draw: st.DrawFn) -> dict[str, float]:
    weights = draw(st.lists(positive, min_size=1, max_size=3))
    return {label: w / sum(weights) for label, w in zip(LABELS, weights, strict=False)}


@st.composite
def predictions(draw: st.DrawFn) -> Prediction:
    """With some of the signals and without others."""
    possible = {
        "scores": scores(),
        "confidence": share,
        "risk": share,
        "segment": segments,
        "members": st.lists(scores(), min_size=1, max_size=4).map(
            lambda rows: [{"name": str(n), "scores": row} for n, row in enumerate(rows)]
        ),
    }
    names = draw(st.sets(st.sampled_from(sorted(possible))))
    posted = {name: draw(possible[name]) for name in sorted(names)}
    return prediction(label=draw(st.sampled_from(LABELS)), **posted)


def measured(measure: str) -> Any:
    return lambda t: {"disagreement": {"measure": measure, "above": t}}


# by name, a condition of a threshold; and whether a higher one sends more to review
BY_THRESHOLD: dict[str, tuple[Any, bool]] = {
    "confidence": (lambda t: {"confidence": {"below": t}}, True),
    "confidence of a label": (
        lambda t: {"confidence": {"below": 0.5, "per_label": {"a": t}}},
        True,
    ),
    "confidence of a segment": (
        lambda t: {"confidence": {"below": 0.5, "per_segment": {"source:x": t}}},
        True,
    ),
    "margin": (lambda t: {"margin": {"below": t}}, True),
    "entropy": (lambda t: {"entropy": {"above": t}}, False),
    "risk": (lambda t: {"risk": {"above": t}}, False),
    "sample": (lambda t: {"sample": {"share": max(t, 1e-6)}}, True),
    "conditions": (
        lambda t: {
            "activation": {
                "Conditions": [
                    {
                        "ConditionType": "ModerationLabelConfidenceCheck",
                        "ConditionParameters": {
                            "ModerationLabelName": "*",
                            "ConfidenceLessThan": 100 * t,
                        },
                    }
                ]
            }
        },
        True,
    ),
    **{
        measure: (measured(measure), False)
        for measure in ("vote_entropy", "consensus_entropy", "mean_kl", "max_kl", "pairwise")
    },
}


@pytest.mark.parametrize(("written", "more"), BY_THRESHOLD.values(), ids=BY_THRESHOLD)
@given(posted=st.lists(predictions(), max_size=4), lower=share, higher=share)
def test_stricter_threshold_never_sends_less_to_review(
    written: Any, more: bool, posted: list[Prediction], lower: float, higher: float
) -> None:
    lower, higher = sorted((lower, higher))
    lax, strict = (lower, higher) if more else (higher, lower)

    def reviewed(threshold: float) -> set[int]:
        by = policy(rule(**written(threshold)), segments=["source"])
        return {n for n, one in enumerate(posted) if decided(by, one).route == "review"}

    assert reviewed(lax) <= reviewed(strict)


# one of each kind that needs something of the prediction, with values that fire by no means
NEEDY: dict[str, Any] = {
    "confidence": {"below": 0},
    "margin": {"below": 0},
    "entropy": {"above": 1},
    "disagreement": {"measure": "pairwise", "above": 1},
    "labels": ["a"],
    "novel_label": {},
    "risk": {"above": 1},
    "when": "prediction.features.n > 1",
    "activation": {
        "Conditions": [
            {
                "ConditionType": "ModerationLabelConfidenceCheck",
                "ConditionParameters": {"ModerationLabelName": "*", "ConfidenceLessThan": 0},
            }
        ]
    },
}


@pytest.mark.parametrize("kind", NEEDY)
def test_prediction_that_no_rule_can_evaluate_goes_to_review(kind: str) -> None:
    by = policy(rule(**{kind: NEEDY[kind]}), labels=["a"])

    outcome = decided(by, prediction(output={"boxes": []}))

    assert (outcome.route, outcome.reason, outcome.inclusion_probability) == ("review", "r", 1.0)


def test_every_kind_is_needy_or_needs_nothing_of_a_prediction() -> None:
    assert set(KINDS) == set(NEEDY) | {"sample", "out_of_distribution"}


@given(st.permutations(sorted(NEEDY)), predictions())
def test_trace_is_in_the_order_of_the_policy(order: list[str], posted: Prediction) -> None:
    written = {kind: rule(id=kind, **{kind: NEEDY[kind]}) for kind in NEEDY}
    by = policy(*(written[kind] for kind in order), labels=LABELS)

    outcome = decided(by, posted)

    assert [one.id for one in by.rules] == order
    assert outcome.observed == [
        decided(policy(written[kind], labels=LABELS), posted).observed[0] for kind in order
    ]


LOW_HIGH_NONE: tuple[float | None, ...] = (0.2, 0.8, None)
CONFIDENCES = [
    Confidence(
        below=below,
        per_label={"a": of_label} if of_label else {},
        per_segment={name: t for name, t in (("source:x", x), ("lang:en", en)) if t},
    )
    for below in (0.2, 0.5, 0.8)
    for of_label, x, en in itertools.product(LOW_HIGH_NONE, repeat=3)
]
SITUATIONS = list(
    itertools.product(
        ("a", "b"), ({}, {"source": "x"}, {"lang": "en"}, {"source": "x", "lang": "en"})
    )
)


def test_confidence_covers_another_when_its_threshold_is_nowhere_lower() -> None:
    thresholds = [[one.threshold(*where) for where in SITUATIONS] for one in CONFIDENCES]

    for (one, high), (other, low) in itertools.product(
        zip(CONFIDENCES, thresholds, strict=True), repeat=2
    ):
        nowhere_lower = all(t >= u for t, u in zip(high, low, strict=True))
        claimed = one.covers(other)

        # of segments with thresholds that differ nothing is claimed
        comparable = one.per_segment in ({}, other.per_segment)
        assert claimed == (nowhere_lower and comparable), (one, other)


def test_confidence_of_another_scale_is_not_covered() -> None:
    raw, recalibrated = Confidence(below=0.9), Confidence(below=0.5, scale="recalibrated")

    assert not raw.covers(recalibrated)
    assert not recalibrated.covers(raw)
