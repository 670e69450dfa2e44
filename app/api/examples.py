"""An example of every operation's body and answer; tests send the one and check the other.

They tell one story: a tweet that the model is unsure about goes to the queue `triage`, and the
reviewer r-17 corrects it. Bodies of Pydantic models have their examples beside the model.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from app.api.metrics_examples import MEASURES
from app.api.whatif_examples import DONE_JOB, QUEUED_JOB, SIMULATE, SIMULATION_OF_ROWS
from app.core.routing import a2i


class Example(NamedTuple):
    """What is sent and what is answered; None where there is no body.

    `also`: what is answered with another status.
    """

    request: Any = None
    response: Any = None
    also: Mapping[str, Any] = {}


DECISION_ID = "01a20def-5ea9-7678-b750-478fc8459d02"
ITEM_ID = "01a20def-5ea9-7678-b750-47903348110c"
ASSIGNMENT_ID = "01a20def-5ea9-7678-b750-479145e1b6aa"
KEY_ID = "01a20de0-6265-775a-95df-fec45c20988b"
DECIDED_AT = "2026-11-24T14:22:00.873047Z"
DUE_AT = "2026-11-24T18:22:00.873047Z"
LEASED_AT = "2026-11-24T14:24:05.589500Z"
EXPIRES_AT = "2026-11-24T14:39:05.589500Z"
SETTLED_AT = "2026-11-24T14:25:12.434565Z"

PREDICTION = {
    "request_key": "req-81c",
    "model": "sentiment",
    "model_version": "1",
    "label": "positive",
    "confidence": 0.61,
    "scores": {"positive": 0.61, "neutral": 0.3, "negative": 0.09},
    "features": {"n_tokens": 5, "lang": "en"},
    "segment": {"source": "tweets"},
    "subject": {"text": "great, just what I needed"},
}
DECISION = {
    "id": DECISION_ID,
    "request_key": "req-81c",
    "model": "sentiment",
    "model_version": "1",
    "label": "positive",
    "confidence": 0.61,
    "route": "review",
    "reason": "unsure",
    "trace": [
        {
            "rule": "high-risk",
            "kind": "labels",
            "state": "passed",
            "observed": "positive",
            "threshold": ["threat"],
        },
        {"rule": "tie", "kind": "margin", "state": "passed", "observed": 0.31, "threshold": 0.15},
        {
            "rule": "unsure",
            "kind": "confidence",
            "state": "fired",
            "observed": 0.61,
            "threshold": 0.85,
        },
    ],
    "policy": {"name": "sentiment", "version": 1},
    "monitors": [],
    "unfamiliar": None,
    "audit": {"selected": False, "probability": None},
    "item": {"id": ITEM_ID, "queue": "triage", "blocking": True},
    "shadow": False,
    "resolution": None,
    "decided_at": DECIDED_AT,
}
SETTLED_DECISION = {
    **DECISION,
    "resolution": {
        "label": "negative",
        "outcome": "labeled",
        "judge": "single",
        "agreed": False,
        "resolved_at": SETTLED_AT,
    },
}
DECISION_PAGE = {"items": [SETTLED_DECISION], "next_cursor": None}

POLICY: dict[str, Any] = {
    "name": "sentiment",
    "applies_to": {"model": "sentiment"},
    "labels": ["negative", "neutral", "positive", "threat"],
    "segments": ["source"],
    "rules": [
        {"id": "high-risk", "labels": ["threat"], "route": "review", "queue": "triage"},
        {"id": "tie", "margin": {"below": 0.15}, "route": "review", "queue": "triage"},
        {"id": "unsure", "confidence": {"below": 0.85}, "route": "review", "queue": "triage"},
    ],
    "audit": {"probability": 0.02, "queue": "audits"},
}
POLICY_VERSION = {
    "name": "sentiment",
    "version": 1,
    "state": "draft",
    "model": "sentiment",
    "digest": "7bf78c47aec719a7a4ca9f4c7c1840c1fc954f2fe6e35d9e3e6d284f2867c6d2",
    "document": POLICY,
    "created_at": "2026-11-24T14:20:00.052124Z",
    "created_by": f"key:{KEY_ID}",
    "activated_at": None,
}
ACTIVE_VERSION = {
    **POLICY_VERSION,
    "state": "active",
    "activated_at": "2026-11-24T14:20:08.415906Z",
}
NEVER_DECIDES = {
    "loc": ["rules", 3],
    "message": "'unsure' never decides: 'careful' (confidence below 0.9) stands before it and "
    "fires whenever it would.",
}
POLICY_DIFF = {
    "from": 1,
    "to": 2,
    "rules": [
        {
            "rule": "unsure",
            "change": "changed",
            "before": POLICY["rules"][2],
            "after": {**POLICY["rules"][2], "confidence": {"below": 0.9}},
            "position_before": 2,
            "position_after": 2,
        }
    ],
    "on_drift": [
        {
            "monitor": "confidence",
            "change": "added",
            "before": None,
            "after": {"monitor": "confidence", "when": "drifting", "raise_confidence_to": 0.95},
            "position_before": None,
            "position_after": 0,
        }
    ],
    "fields": [{"field": "audit.probability", "before": 0.02, "after": 0.05}],
}
A2I: dict[str, Any] = {
    "name": "moderation",
    "model": "image-moderation",
    "queue": "triage",
    "conditions": {
        "Conditions": [
            {
                "ConditionType": "ModerationLabelConfidenceCheck",
                "ConditionParameters": {
                    "ModerationLabelName": "Suggestive",
                    "ConfidenceLessThan": 60,
                },
            },
            {
                "And": [
                    {
                        "ConditionType": "Sampling",
                        "ConditionParameters": {"RandomSamplingPercentage": 5},
                    },
                    {
                        "ConditionType": "ModerationLabelConfidenceCheck",
                        "ConditionParameters": {
                            "ModerationLabelName": "*",
                            "ConfidenceGreaterThan": 90,
                        },
                    },
                ]
            },
        ]
    },
}
A2I_VERSION = {
    **POLICY_VERSION,
    "name": "moderation",
    "model": "image-moderation",
    "digest": "fa5c27d9e118066b0221c546e04b77c50a447a312d83b91570cbd6c2cc0253b1",
    "document": {
        "name": "moderation",
        "applies_to": {"model": "image-moderation"},
        "rules": a2i.rules_of(A2I["conditions"]["Conditions"], "triage"),
    },
    "warnings": [],
}

QUEUE = {
    "id": "01a20de0-6863-734b-bf84-0347bb793d1c",
    "name": "triage",
    "blind": False,
    "judge": "single",
    "lease_s": 900,
    "lease_s_max": 3600,
    "extensions_max": 10,
    "due_s": 14400,
    "guidelines": None,
    "depth": 2,
    "oldest_age_s": 125.25,
    "inflow_per_h": 2,
    "outflow_per_h": 0,
}
LEASE = {
    "assignment_id": ASSIGNMENT_ID,
    "token": 7,
    "expires_at": EXPIRES_AT,
    "item": {
        "id": ITEM_ID,
        "queue": "triage",
        "subject": PREDICTION["subject"],
        "labels": POLICY["labels"],
        "guidelines": None,
        "context_key": None,
        "due_at": DUE_AT,
        "blind": False,
        "kind": "review",
        "reason": "unsure",
        "priority": 50,
        "features": PREDICTION["features"],
        "segment": PREDICTION["segment"],
        "decision_id": DECISION_ID,
    },
    "prediction": {
        "model": "sentiment",
        "model_version": "1",
        "label": "positive",
        "confidence": 0.61,
        "scores": PREDICTION["scores"],
    },
}
VERDICT = {
    "id": "01a20df2-7079-72a7-8ca3-bb493a0dca25",
    "assignment_id": ASSIGNMENT_ID,
    "item_id": ITEM_ID,
    "verdict": "correct",
    "label": "negative",
    "submitted_at": SETTLED_AT,
    "item_state": "resolved",
}
ITEM = {
    "id": ITEM_ID,
    "queue": "triage",
    "kind": "review",
    "state": "resolved",
    "decision_id": DECISION_ID,
    "model": "sentiment",
    "model_version": "1",
    "label": "positive",
    "confidence": 0.61,
    "scores": PREDICTION["scores"],
    "features": PREDICTION["features"],
    "segment": PREDICTION["segment"],
    "route": "review",
    "reason": "unsure",
    "inclusion_probability": 1.0,
    "stratum": "sentiment@1 review 1",
    "priority": 50,
    "blind": False,
    "blocking": True,
    "verdicts_needed": 1,
    "risk": None,
    "context_key": None,
    "input_key": None,
    "subject": PREDICTION["subject"],
    "decided_at": DECIDED_AT,
    "queued_at": DECIDED_AT,
    "due_at": DUE_AT,
    "settled_at": SETTLED_AT,
    "assignments": [
        {
            "id": ASSIGNMENT_ID,
            "slot": 0,
            "state": "submitted",
            "reviewer": "r-17",
            "leased_at": LEASED_AT,
            "lease_until": EXPIRES_AT,
            "submitted_at": SETTLED_AT,
        }
    ],
    "verdicts": [
        {
            "id": VERDICT["id"],
            "assignment_id": ASSIGNMENT_ID,
            "reviewer": "r-17",
            "verdict": "correct",
            "label": "negative",
            "seconds_spent": 12.5,
            "seconds_leased": 66.845065,
            "comment": "irony",
            "source": None,
            "submitted_at": SETTLED_AT,
        }
    ],
    "resolution": {
        "outcome": "labeled",
        "label": "negative",
        "agreed": False,
        "judge": "single",
        "blind": False,
        "resolved_at": SETTLED_AT,
    },
}

PROJECT = {
    "id": "01a20de0-5c13-7069-957b-76e5d0c2932c",
    "name": "contracts",
    "created_at": "2026-11-24T14:19:00.218058Z",
}
KEY = {
    "id": KEY_ID,
    "project": "moderation",
    "name": "serving",
    "scopes": ["predict"],
    "created_at": "2026-11-24T14:19:10.113289Z",
    "expires_at": None,
    "revoked_at": None,
}
KEY_TEXT = f"ovr_{KEY_ID.replace('-', '')}_…"


def _page(*items: Any) -> Any:
    return {"items": list(items), "next_cursor": None}


JUDGED = {"decisions": 212, "judged": 9, "wrong": 2, "wrong_share": 0.19}
SHADOW_REPORT = {
    "decisions": 4100,
    "differing": 212,
    "by_direction": [{"route": "accept", "shadow_route": "review", "judged": JUDGED}],
    "by_rule": [
        {
            "reason": "default",
            "shadow_reason": "unsure",
            "route": "accept",
            "shadow_route": "review",
            "judged": JUDGED,
        }
    ],
    "by_label": [{"label": "positive", "decisions": 4100, "differing": JUDGED}],
}


# by operationId
EXAMPLES: dict[str, Example] = {
    "post_prediction": Example(PREDICTION, DECISION),
    "post_predictions": Example(
        {"predictions": [PREDICTION]}, {"results": [{"status": 201, "decision": DECISION}]}
    ),
    "get_decision": Example(response=SETTLED_DECISION),
    "list_decisions": Example(response=DECISION_PAGE),
    "lookup_decisions": Example(response=DECISION_PAGE),
    "validate_policy": Example(POLICY, {"valid": True, "warnings": [NEVER_DECIDES]}),
    "put_policy": Example(POLICY, {**POLICY_VERSION, "warnings": []}),
    "list_policies": Example(response=_page(ACTIVE_VERSION)),
    "get_policy": Example(response=ACTIVE_VERSION),
    "activate_policy": Example(response={**ACTIVE_VERSION, "retired": None}),
    "shadow_policy": Example(response={**POLICY_VERSION, "state": "shadow"}),
    "get_shadow_report": Example(response=SHADOW_REPORT),
    "retire_policy": Example(response={**ACTIVE_VERSION, "state": "retired"}),
    "rollback_policy": Example(response=ACTIVE_VERSION),
    "diff_policy": Example(response=POLICY_DIFF),
    "import_a2i_policy": Example(A2I, A2I_VERSION),
    "simulate_policy": Example(SIMULATE, QUEUED_JOB, {"200": SIMULATION_OF_ROWS}),
    "get_job": Example(response=DONE_JOB),
    "put_queue": Example(response=QUEUE),
    "get_queue": Example(response=QUEUE),
    "list_queues": Example(response=_page(QUEUE)),
    "claim": Example(response={"leases": [LEASE]}),
    "extend": Example(
        response={"assignment_id": ASSIGNMENT_ID, "token": 7, "expires_at": EXPIRES_AT}
    ),
    "submit_verdict": Example(response=VERDICT),
    "get_item": Example(response=ITEM),
    "list_items": Example(response=_page(ITEM)),
    **{name: Example(response=answer) for name, answer in MEASURES.items()},
    "create_project": Example(response=PROJECT),
    "list_projects": Example(response=_page(PROJECT)),
    "create_key": Example(response={**KEY, "key": KEY_TEXT}),
    "list_keys": Example(response=_page(KEY)),
    "live": Example(response={"status": "ok"}),
    "ready": Example(response={"status": "ready"}),
}
