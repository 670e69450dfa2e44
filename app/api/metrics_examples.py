"""Examples of what the measures answer; they fit together as those of one week."""

RANGE = {"from": "2026-11-17T15:00:00Z", "to": "2026-11-24T15:00:00Z"}
DECISIONS = {
    "total": 5000,
    "by_route": {
        "accept": {"decisions": 4000, "share": 0.8},
        "review": {"decisions": 1000, "share": 0.2},
        "reject": {"decisions": 0, "share": 0.0},
    },
    "audited": 80,
    "shadow": 0,
}
EFFORT = {"human_seconds": 11880.0, "verdicts": 990}
TURNAROUND = {"p50_s": 420.0, "p90_s": 3100.0, "p99_s": 9800.0, "n": 980, "reason": None}
AGREEMENT = {
    "audits": {"value": 0.96, "low": 0.89, "high": 0.99, "n": 78, "reason": None},
    "reviews": {"value": 0.71, "low": 0.68, "high": 0.74, "n": 902, "reason": None},
}
ACCEPTED_ERROR = {
    "value": 0.04,
    "low": 0.01,
    "high": 0.12,
    "accepted": 3950,
    "audited": 78,
    "undecided": 1,
    "reason": None,
    "covered_until": "2026-11-24T12:00:00Z",
    "judges": ["single"],
    "confidence": 0.95,
}
WITHOUT_LABELS = {
    "value": 0.031,
    "low": 0.025,
    "high": 0.037,
    "predictions": 4000,
    "basis": "all",
    "assumes": "p(y|x) unchanged",
}
LOAD = {"queue": "triage", "depth": 2, "oldest_age_s": 125.25, "inflow": 1000, "outflow": 998}
SUMMARY = {
    **RANGE,
    "decisions": DECISIONS,
    "by_reason": [
        {"reason": "default", "decisions": 4000, "share": 0.8},
        {"reason": "unsure", "decisions": 1000, "share": 0.2},
    ],
    "queues": [LOAD],
    "turnaround": TURNAROUND,
    **EFFORT,
    "agreement": AGREEMENT,
    "accepted_error": ACCEPTED_ERROR,
}
POINT = {
    "at": "2026-11-24T14:00:00Z",
    "decisions": DECISIONS,
    "inflow": 1080,
    "outflow": 1078,
    "depth": 2,
    "turnaround": TURNAROUND,
    **EFFORT,
    "agreement": AGREEMENT,
    "accepted_error": ACCEPTED_ERROR,
}

# by operationId
MEASURES = {
    "summary": SUMMARY,
    "timeseries": {**RANGE, "bucket": "hour", "points": [POINT]},
    "accepted_error": {**RANGE, **ACCEPTED_ERROR, "without_labels": WITHOUT_LABELS},
    "agreement": {**RANGE, **AGREEMENT},
    "turnaround": {**RANGE, **TURNAROUND, **EFFORT},
}
