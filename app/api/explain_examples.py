"""Examples of explain, replay and receipt: of the decision that all examples are about."""

from typing import Any

from app.api.examples import DECIDED_AT, DECISION, DECISION_ID, POLICY, POLICY_VERSION, Example

_TRACE: Any = DECISION["trace"]
EXPLANATION: dict[str, Any] = {
    "decision": DECISION_ID,
    "route": "review",
    "reason": "unsure",
    "summary": "A human must decide before the prediction stands, because unsure fired: confidence "
    "0.61 is below 0.85.",
    "rules": [
        {
            **_TRACE[0],
            "sentence": "high-risk passed, it fires on: label is one of threat; seen was positive.",
            "decided": False,
        },
        {
            **_TRACE[1],
            "sentence": "tie passed: margin between the two best labels 0.31 is not below 0.15.",
            "decided": False,
        },
        {
            **_TRACE[2],
            "sentence": "unsure fired: confidence 0.61 is below 0.85.",
            "decided": True,
        },
    ],
    "audit": {"selected": False, "probability": None, "sentence": "A review needs no audit."},
    "policy": {"name": "sentiment", "version": 1},
}
REPLAY = {"decision": DECISION_ID, "agrees": True, "differences": [], "notes": []}
# `overrule verify` finds that it holds
RECEIPT: dict[str, Any] = {
    "format": "overrule-receipt/1",
    "decision": {
        "id": DECISION_ID,
        "request_key": "req-81c",
        "model": "sentiment",
        "model_version": "1",
        "label": "positive",
        "confidence": 0.61,
        "segment": {"source": "tweets"},
        "shadow": False,
        "route": "review",
        "reason": "unsure",
        "states": ["passed", "passed", "fired"],
        "observed": ["positive", 0.31, 0.61],
        "queue": "triage",
        "priority": 50,
        "audited": False,
        "audit_probability": None,
        "audit_draw": None,
        "inclusion_probability": 1.0,
        "stratum": "sentiment@1 review 1",
        "decided_at": DECIDED_AT,
    },
    "policy": {
        "name": "sentiment",
        "version": 1,
        "digest": POLICY_VERSION["digest"],
        "document": POLICY,
    },
    "prediction": {
        "text": '{"confidence":0.61,"features":{"lang":"en","n_tokens":5.0},"label":"positive",'
        '"model":"sentiment","model_version":"1","request_key":"req-81c",'
        '"scores":{"negative":0.09,"neutral":0.3,"positive":0.61},'
        '"segment":{"source":"tweets"},"subject":{"text":"great, just what I needed"}}',
        "embedding": None,
        "digest": "d5d3dfb3d8e60ad0dcc5031ae7a374390b089e5f245011f9935e9a9854fded34",
    },
    "monitors": [],
    "unfamiliar": None,
    "draw": {
        "day": "2026-11-24",
        "available_at": "2026-11-25T00:00:00Z",
        "key_sha256": "fe1c4f8d055e92a2494e6f760d507c73e54c0d78dd176cbb789537d324203ec0",
        "key": "702457ed4b83531b1689796e6e81b77a2f0d1dac80c425667470601f94745d39",
    },
    "digest": "8a7428ac146419a6b648d4d83d503da6149a769526811dfad0761fa4ef21710d",
}

# by operationId
EXPLAIN_EXAMPLES: dict[str, Example] = {
    "explain_decision": Example(response=EXPLANATION),
    "replay_decision": Example(response=REPLAY),
    "get_receipt": Example(response=RECEIPT),
}
