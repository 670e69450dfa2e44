"""Policies over every kind of rule and predictions of every shape, at random from a seed."""

import random
import uuid
from collections.abc import Callable
from typing import Any

from app.core.routing.monitors import Needed, Seen
from app.core.routing.policy import Policy
from app.core.routing.prediction import Unfamiliar
from app.core.routing.rules import KINDS

LABELS = ["negative", "neutral", "positive", "threat"]
# the model sometimes says what the policy does not know
SAID = [*LABELS, "spam"]
MODEL = "sentiment"
MONITORS = ["confidence", "embedding", "a-b"]
STATES = ["collecting", "stable", "warning", "drifting"]


class Random:
    """Draws policies and predictions; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def document(self, **fields: Any) -> dict[str, Any]:
        """A policy of up to six rules, most of which pass most of the time."""
        rules = [self._rule(f"r{n}") for n in range(self.random.randint(0, 6))]
        probability = self.random.uniform(0.1, 0.5)
        return {
            "name": "sentiment",
            "applies_to": {"model": MODEL},
            "labels": LABELS,
            "segments": ["source"],
            "rules": rules,
            "audit": {
                "probability": probability,
                "per_label": {self.random.choice(LABELS): self.random.uniform(0.1, 0.9)},
                "rejected_probability": self.random.uniform(0.1, 0.9),
                "queue": self.random.choice(["audits", "triage"]),
            },
            "on_drift": [self._response(rules) for _ in range(self.random.choice([0, 0, 1, 3]))],
            "default": self.random.choice(["accept", "accept", "accept", "reject"]),
            **fields,
        }

    def monitors(self, policy: Policy | None) -> tuple[Seen, ...]:
        """What the monitors that a policy looks at might say, in any order, with others."""
        needed = [*(policy.monitors if policy is not None else ()), Needed("other")]
        return tuple(
            Seen(
                one.monitor,
                self.random.choice(STATES),
                self.random.choice([None, uuid.UUID(int=self.random.getrandbits(128))]),
                one.segment,
            )
            for one in self.random.sample(needed, len(needed))
        )

    def unfamiliar(self) -> Unfamiliar | None:
        """What a detector might say."""
        detector = uuid.UUID(int=9)
        known = Unfamiliar(self.random.choice([0.001, 0.01, 0.7]), 3.25, detector)
        return self.random.choice([None, Unfamiliar(None, None, detector), known])

    def prediction(self, request_key: str, model: str = MODEL) -> dict[str, Any]:
        """A prediction as it is posted; whatever is optional is missing now and then."""
        posted: dict[str, Any] = {
            "request_key": request_key,
            "model": model,
            "model_version": self.random.choice(["1", "2"]),
            **self.random.choice(self._answers)(),
        }
        for name, make in self._optional.items():
            if self._chance(0.4):
                posted[name] = make()
        return posted

    def condition(self, kind: str) -> Any:
        """The specification of one kind of rule."""
        return self._conditions[kind]()

    @property
    def _conditions(self) -> dict[str, Callable[[], Any]]:
        share = self.random.random
        made: dict[str, Callable[[], Any]] = {
            "confidence": lambda: {
                "below": share(),
                "per_label": {label: share() for label in self._some(LABELS)},
                "per_segment": {f"source:{self.random.choice('abc')}": share()},
                "scale": self.random.choice(["raw", "raw", "raw", "recalibrated"]),
            },
            "margin": lambda: {"below": share() / 2},
            "entropy": lambda: {"above": share()},
            "disagreement": lambda: {
                "measure": self.random.choice(
                    ["vote_entropy", "consensus_entropy", "mean_kl", "max_kl", "pairwise"]
                ),
                "above": share(),
            },
            "labels": lambda: self._some(LABELS) or ["threat"],
            "novel_label": dict,
            "out_of_distribution": lambda: {"max_p": 0.01},
            "risk": lambda: {"above": share()},
            "when": lambda: self.random.choice(EXPRESSIONS),
            "sample": lambda: {"share": self.random.uniform(0.01, 0.5)},
            "activation": self._activation,
        }
        assert made.keys() == KINDS.keys(), "draw the new kind of rule here too"
        return made

    def _rule(self, rule_id: str) -> dict[str, Any]:
        route = self.random.choice(["review", "review", "review", "accept", "reject"])
        kind = self.random.choice(list(KINDS))
        rule = {
            "id": rule_id,
            kind: self.condition(kind),
            "route": route,
            "priority": self.random.randint(0, 100),
            "if_missing": self.random.choice(["pass", "pass", "fire"]),
        }
        if route == "review":
            rule["queue"] = self.random.choice(["triage", "experts"])
        return rule

    def _response(self, rules: list[dict[str, Any]]) -> dict[str, Any]:
        """One of the drift responses that a policy with these rules may have."""
        effects: list[dict[str, Any]] = [
            {"audit_probability": self.random.uniform(0.1, 1)},
            {"route": "review", "queue": "experts"},
            {"route": "review", "queue": "triage", "priority": self.random.randint(0, 100)},
        ]
        if any("confidence" in rule and rule["route"] == "review" for rule in rules):
            effects += [{"raise_confidence_to": self.random.random()}] * 3
        response = {
            "monitor": self.random.choice(MONITORS),
            "when": self.random.choice(["warning", "drifting"]),
            **self.random.choice(effects),
            **self.random.choice(effects),
        }
        return {**response, "segment": "source"} if self._chance(0.3) else response

    def _activation(self) -> dict[str, Any]:
        check = {
            "ConditionType": "ModerationLabelConfidenceCheck",
            "ConditionParameters": {
                "ModerationLabelName": self.random.choice(["*", *LABELS]),
                "ConfidenceLessThan": self.random.uniform(10, 90),
            },
        }
        sampling = {
            "ConditionType": "Sampling",
            "ConditionParameters": {"RandomSamplingPercentage": self.random.randint(1, 60)},
        }
        group = self.random.choice(["And", "Or"])
        return {"Conditions": [{group: [check, sampling]}]}

    @property
    def _answers(self) -> list[Callable[[], dict[str, Any]]]:
        said = self.random.choice
        return [
            lambda: {"label": said(SAID)},
            lambda: {"label": said(SAID), "confidence": self.random.random()},
            lambda: {"scores": self._probabilities()},
            lambda: {"label": said(SAID), "scores": self._probabilities()},
            lambda: {"scores": {"negative": 0.4, "positive": 0.3}, "scores_are": "top_k"},
            lambda: {"scores": {"a": self.random.gauss(0, 9)}, "scores_are": "independent"},
            lambda: {"output": {"boxes": [[1, 2.5, 2**60], None, "ä"]}},
        ]

    @property
    def _optional(self) -> dict[str, Callable[[], Any]]:
        return {
            "members": lambda: [self._member(f"m{n}") for n in range(self.random.randint(1, 5))],
            "features": lambda: {
                "n": self.random.choice([1, 7.5, "many", None, True]),
                "lang": self.random.choice(["en", "de"]),
            },
            "embedding": lambda: [self.random.gauss(0, 1) for _ in range(8)],
            "segment": lambda: {"source": self.random.choice("abc"), "undeclared": "x"},
            "risk": self.random.random,
            "shadow": lambda: self._chance(0.5),
            "context_key": lambda: "thread-9",
            "input_key": lambda: "in-3",
            "subject": lambda: {"text": "so great \u2028 \U0001f600"},
            "occurred_at": lambda: "2026-11-24T10:00:00.25+02:00",
        }

    def _member(self, name: str) -> dict[str, Any]:
        if self._chance(0.3):
            return {"name": name, "label": self.random.choice(SAID)}
        return {"name": name, "scores": self._probabilities()}

    def _probabilities(self) -> dict[str, float]:
        """In any order: the recorded text has another."""
        labels = self.random.sample(SAID, self.random.randint(1, len(SAID)))
        shares = [self.random.random() for _ in labels]
        return {label: share / sum(shares) for label, share in zip(labels, shares, strict=True)}

    def _some(self, names: list[str]) -> list[str]:
        return [name for name in names if self._chance(0.3)]

    def _chance(self, probability: float) -> bool:
        return self.random.random() < probability


EXPRESSIONS = [
    "prediction.features.n > 5",
    "has(prediction.risk) && prediction.risk > 0.5",
    "has(prediction.features.lang) && prediction.features.lang == 'de'",
    "prediction.scores.positive * 2 > 1",
    "prediction.segment.source in ['a', 'b'] || prediction.confidence < 0.4",
    "monitors.embedding == 'drifting' && has(prediction.risk)",
    "monitors['a-b'] in ['warning', 'drifting'] && prediction.scores.positive > 0.3",
]
