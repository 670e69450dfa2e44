"""A recorded decision comes out again, bit for bit, from what is kept of it."""

import uuid
from collections import Counter
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from app.core.routing.decision import decide, decision_of
from app.core.routing.policy import Policy, compile_policy
from app.core.routing.prediction import (
    Prediction,
    Signals,
    Unfamiliar,
    float32_bytes,
    recorded,
    signals_of,
)
from app.core.routing.receipt import Decided, KeptPrediction, Receipt, decided
from app.core.routing.replay import Difference, differences_of, replay, signals_as_kept
from app.core.routing.rules import KINDS
from app.core.routing.rules.base import STATE_NAMES
from tests.core.routing.cases import document, prediction, rule, seen
from tests.core.routing.random_decisions import Random
from tests.core.routing.recordings import DECIDED_AT, chance, receipt, written

POLICIES = 200
PREDICTIONS = 50
UNSURE = rule(id="unsure", confidence={"below": 0.85}, priority=80)
SCORES = {"a": 0.7, "b": 0.2, "c": 0.1}
_decided = msgspec.json.Decoder(Decided)


def replayed(kept: Receipt) -> tuple[list[Difference], list[str]]:
    found = replay(kept, chance(kept.decision.id))
    return found.differences, found.notes


@pytest.mark.slow
def test_ten_thousand_random_decisions_come_out_again_from_their_recorded_form() -> None:
    """Takes about a second: each is made, recorded, read back and made again."""
    made = Random(81)
    seen: Counter[str] = Counter()
    disagree = []

    for number in range(POLICIES):
        policy = compile_policy(made.document(), "sentiment", number + 1)
        for _ in range(PREDICTIONS):
            posted = msgspec.convert(made.prediction("req-1"), Prediction)
            monitors, unfamiliar = made.monitors(policy), made.unfamiliar()
            before = decided_at_random(made, policy, signals_of(posted, unfamiliar, monitors))
            after = _decided.decode(msgspec.json.encode(before))
            signals = signals_as_kept(kept(posted), unfamiliar, monitors)
            disagree += [
                (posted, found)
                for found in differences_of(after, policy, signals, chance(before.id))
            ]
            seen.update([before.route, *before.states, *kinds_that_fired(policy, before)])

    assert disagree[:3] == []
    # the draw of cases leaves nothing out
    assert seen.keys() >= {"accept", "review", "reject", "on_drift", *STATE_NAMES}
    assert seen.keys() >= KINDS.keys()


@pytest.mark.parametrize(
    ("rules", "posted"),
    [
        pytest.param([UNSURE], {"confidence": 0.9}, id="accepted"),
        pytest.param([UNSURE], {"confidence": 0.3}, id="to review"),
        pytest.param([UNSURE], {"confidence": 0.3, "shadow": True}, id="a shadow to review"),
        pytest.param([UNSURE], {"confidence": 0.9, "shadow": True}, id="a shadow accepted"),
        pytest.param([rule(risk={"above": 0.5}, route="reject")], {"risk": 0.9}, id="rejected"),
        pytest.param([UNSURE], {"output": {"n": [1, 2.5, None]}}, id="nothing to judge by"),
        pytest.param([UNSURE], {"embedding": [0.1, -2.5e-8, 3e38]}, id="with an embedding"),
        pytest.param([rule(sample={"share": 0.5})], {}, id="drawn by a rule"),
    ],
)
def test_a_decision_comes_out_again(rules: list[Any], posted: dict[str, Any]) -> None:
    kept = receipt(document(*rules), prediction(**posted))

    assert replayed(kept) == ([], [])


def test_a_decision_without_a_policy_comes_out_again() -> None:
    kept = receipt(None, prediction())

    assert kept.decision.reason == "no-policy"
    assert replayed(kept) == ([], [])


def test_the_order_of_scores_does_not_matter_to_any_bit() -> None:
    rules = [
        rule(id="flat", entropy={"above": 1}),
        *(
            rule(id=measure, disagreement={"measure": measure, "above": 1})
            for measure in ("consensus_entropy", "mean_kl", "max_kl")
        ),
    ]
    made = Random(5)

    for _ in range(200):
        scores = [made.random.random() for _ in range(5)]
        spread = {f"l{n}": score / sum(scores) for n, score in enumerate(scores)}
        backwards = dict(reversed(spread.items()))
        members = [{"name": "a", "scores": backwards}, {"name": "b", "scores": {"l0": 1.0}}]
        posted = msgspec.convert(
            {
                "request_key": "req-1",
                "model": "sentiment",
                "model_version": "1",
                "scores": backwards,
                "members": members,
            },
            Prediction,
        )

        assert replayed(receipt(document(*rules), posted)) == ([], [])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("request_key", "req-2"),
        ("model_version", "2"),
        ("label", "negative"),
        ("confidence", 0.3000000000000001),
        ("segment", {"source": "news"}),
        ("shadow", True),
        ("route", "accept"),
        ("reason", "default"),
        ("queue", "experts"),
        ("priority", 81),
        ("audited", True),
        ("audit_probability", 0.01),
        ("audit_draw", 0.5),
        ("inclusion_probability", 0.5),
        ("stratum", "sentiment@2 review 1"),
    ],
)
def test_a_field_that_was_changed_is_found(field: str, value: Any) -> None:
    kept = receipt(document(UNSURE), prediction(confidence=0.3))
    before = getattr(kept.decision, field)

    changed = replace(kept, decision=replace(kept.decision, **{field: value}))

    assert Difference(field, value, before) in replayed(changed)[0]


def test_a_trace_that_was_changed_is_found_by_its_rule() -> None:
    kept = receipt(document(UNSURE, rule(id="risky", risk={"above": 0.5})), prediction(risk=0.9))

    changed = replace(
        kept, decision=replace(kept.decision, states=["missing", "passed"], observed=[None, 0.4])
    )

    assert replayed(changed)[0] == [
        Difference("rules.risky.state", "passed", "fired"),
        Difference("rules.risky.observed", 0.4, 0.9),
    ]


def test_a_trace_of_another_length_is_shown_whole() -> None:
    kept = receipt(document(UNSURE), prediction(confidence=0.9))

    changed = replace(kept, decision=replace(kept.decision, states=[], observed=[]))

    assert replayed(changed)[0] == [
        Difference("states", [], ["passed"]),
        Difference("observed", [], [0.9]),
    ]


def test_zeros_of_different_signs_are_not_the_same() -> None:
    kept = receipt(document(rule(risk={"above": 0.5})), prediction(risk=0.0))

    changed = replace(kept, decision=replace(kept.decision, observed=[-0.0]))

    assert [found.field for found in replayed(changed)[0]] == ["rules.r.observed"]


def test_another_draw_is_found() -> None:
    kept = receipt(document(), prediction())

    found = replay(kept, chance(uuid.UUID(int=kept.decision.id.int + 1))).differences

    assert [difference.field for difference in found] == ["audit_draw"]


def test_a_policy_that_this_release_refuses_is_said_to_be_so() -> None:
    refused = {**document(UNSURE), "rules": [{"id": "r", "horoscope": {}, "route": "accept"}]}
    kept = replace(receipt(document(UNSURE), prediction()), policy=written(refused))

    differences, notes = replayed(kept)

    assert differences == [Difference("policy", "sentiment@3", None)]
    assert notes[0].startswith(
        "This release refuses the policy sentiment@3, so the decision cannot"
    )


def test_a_policy_document_that_was_changed_is_found_by_its_digest() -> None:
    kept = receipt(document(UNSURE), prediction(confidence=0.9))
    policy = written(document(UNSURE, description="of another time"))

    changed = replace(kept, policy=replace(policy, digest=written(document(UNSURE)).digest))

    assert [found.field for found in replayed(changed)[0]] == ["policy.digest"]


def test_the_policy_of_another_model_or_name_is_found() -> None:
    kept = receipt(document(), prediction())
    other = document(applies_to={"model": "toxicity"})

    changed = replace(kept, policy=replace(written(other), name="other"))

    assert [found.field for found in replayed(changed)[0]] == [
        "policy.name",
        "policy.document.applies_to",
        "stratum",
    ]


def test_an_erased_payload_shows_in_the_digest_and_in_what_comes_out() -> None:
    rich = prediction(features={"n": 7}, embedding=[0.5], subject={"text": "so great"})
    kept = receipt(document(rule(when="prediction.features.n > 5")), rich)
    rest = recorded(replace(rich, features=None, embedding=None, subject=None))

    erased = replace(kept, prediction=replace(kept.prediction, text=rest.text, embedding=None))

    differences, notes = replayed(erased)
    assert differences == [
        Difference("prediction.digest", kept.prediction.digest, rest.digest.hex()),
        Difference("rules.r.state", "fired", "missing"),
        Difference("rules.r.observed", None, "no field 'n'"),
    ]
    assert "erased in part" in notes[0]


@pytest.mark.parametrize(
    ("text", "embedding", "why"),
    [
        pytest.param("", None, "cannot be read: Input data was truncated", id="erased whole"),
        pytest.param("{}", None, "cannot be read: Object missing required field", id="no field left"),
        pytest.param(
            '{"model":"sentiment","model_version":"1","request_key":"req-1"}',
            None,
            "cannot be decided on: Send one of label, scores and output.",
            id="no answer left",
        ),
        pytest.param(
            '{"label":"a","model":"sentiment","model_version":"1","request_key":"req-1"}',
            b"\0\0\0",
            "cannot be read: unpack requires",
            id="an embedding that is none",
        ),
    ],
)  # fmt: skip
def test_a_prediction_that_cannot_be_read_any_more_is_said_to_be_so(
    text: str, embedding: bytes | None, why: str
) -> None:
    kept = receipt(document(), prediction())

    differences, notes = replayed(
        replace(kept, prediction=replace(kept.prediction, text=text, embedding=embedding))
    )

    assert [found.field for found in differences] == ["prediction.digest", "prediction"]
    assert why in notes[1]


ON_DRIFT = [
    {"monitor": "confidence", "when": "drifting", "raise_confidence_to": 0.95},
    {"monitor": "embedding", "when": "warning", "audit_probability": 0.05, "segment": "source"},
]


def under_drift(**states: str) -> Receipt:
    written = document(UNSURE, on_drift=ON_DRIFT, segments=["source"])
    return receipt(written, prediction(confidence=0.9), monitors=seen(**states))


def test_a_decision_under_drift_comes_out_again_from_the_recorded_states() -> None:
    kept = under_drift(confidence="drifting", embedding__source="stable")

    assert (kept.decision.reason, kept.decision.states) == ("unsure", ["fired", "fired", "passed"])
    assert kept.decision.observed == [0.9, "drifting", "stable"]
    assert replayed(kept) == ([], [])


def test_another_state_of_a_monitor_is_another_decision() -> None:
    kept = under_drift(confidence="drifting", embedding__source="stable")

    changed = replace(kept, monitors=seen(confidence="stable", embedding__source="stable"))

    assert {found.field for found in replayed(changed)[0]} >= {
        "route",
        "rules.unsure.state",
        "rules.on_drift[0].state",
        "rules.on_drift[0].observed",
    }


def test_a_monitor_that_the_policy_looks_at_and_that_is_not_recorded_is_named() -> None:
    kept = under_drift(confidence="stable", embedding__source="collecting")

    changed = replace(kept, monitors=seen(confidence="stable"))

    assert replayed(changed)[0] == [Difference("monitors.embedding", None, "collecting")]


def test_a_score_of_a_detector_is_an_input_and_its_threshold_is_checked() -> None:
    odd = Unfamiliar(0.001, 7.5, uuid.UUID(int=9))
    written = document(rule(id="odd", out_of_distribution={"max_p": 0.01}))
    kept = receipt(written, prediction(), unfamiliar=odd)

    assert replayed(kept) == ([], [])
    changed = replace(kept, unfamiliar=replace(odd, p=0.5))
    assert "rules.odd.state" in {found.field for found in replayed(changed)[0]}


@pytest.mark.parametrize(
    "posted", [{"label": "a"}, {"label": "a", "embedding": [0.1, 2.0]}], ids=["text", "embedding"]
)
def test_the_digest_is_the_one_that_is_recorded(posted: dict[str, Any]) -> None:
    made = prediction(**posted)

    kept = receipt(document(), made)

    assert replayed(kept) == ([], [])
    assert kept.prediction.embedding == (
        float32_bytes(posted["embedding"]) if "embedding" in posted else None
    )


def test_a_difference_is_told_in_a_sentence() -> None:
    told = Difference("route", "accept", "review").sentence()
    long = Difference("policy.document", "x" * 1000, None).sentence()

    assert told == 'route: "accept" is recorded, and "review" comes out.'
    assert len(long) < 300


def decided_at_random(made: Random, policy: Policy, signals: Signals) -> Decided:
    id_ = uuid.UUID(int=made.random.getrandbits(128))
    outcome = decide(policy, signals, chance(id_))
    return decided(
        decision_of(id_, signals, outcome, policy_id=None, item=None, decided_at=DECIDED_AT)
    )


def kept(posted: Prediction) -> KeptPrediction:
    found = recorded(posted)
    return KeptPrediction(found.text, found.embedding, found.digest.hex())


def kinds_that_fired(policy: Policy, made: Decided) -> list[str]:
    kinds = [*(rule.kind for rule in policy.rules), *("on_drift" for _ in policy.on_drift)]
    return [kind for kind, state in zip(kinds, made.states, strict=True) if state == "fired"]
