"""Examples of what a simulation answers, and of the job that makes it."""

SIMULATE = {
    "policy": {"name": "sentiment", "version": 1},
    "sweep": {"rule": "unsure", "thresholds": [0.8, 0.9]},
}
SECONDS = {"median_s": 12.0, "verdicts": 990, "measured": "range"}
QUEUES = [
    {
        "queue": "audits",
        "reviews": 0,
        "audits": 76.0,
        "per_hour_mean": 0.45,
        "per_hour_max": 2.1,
        "seconds": SECONDS,
        "human_hours": 0.25,
    },
    {
        "queue": "triage",
        "reviews": 1200,
        "audits": 0.0,
        "per_hour_mean": 7.1,
        "per_hour_max": 41.0,
        "seconds": SECONDS,
        "human_hours": 4.0,
    },
]
ESCAPED = {
    "value": 0.03,
    "low": 0.01,
    "high": 0.1,
    "decisions": 3790,
    "judged": 73,
    "undecided": 1,
    "reason": None,
}
SIMULATION = {
    "policy": "sentiment",
    "version": 1,
    "model": "sentiment",
    "from": "2026-11-17T15:00:00Z",
    "to": "2026-11-24T15:00:00Z",
    "decisions": 5000,
    "routes": {
        "now": {
            "accept": {"decisions": 4000, "share": 0.8},
            "review": {"decisions": 1000, "share": 0.2},
            "reject": {"decisions": 0, "share": 0.0},
        },
        "then": {
            "accept": {"decisions": 3800, "share": 0.76},
            "review": {"decisions": 1200, "share": 0.24},
            "reject": {"decisions": 0, "share": 0.0},
        },
    },
    "changed": {
        "decisions": 200,
        "share": 0.04,
        "by_direction": [{"from": "accept", "to": "review", "decisions": 200}],
        "by_rule": [
            {
                "reason": "default",
                "new_reason": "unsure",
                "from": "accept",
                "to": "review",
                "decisions": 200,
            }
        ],
        "by_label": [{"label": "positive", "from": "accept", "to": "review", "decisions": 200}],
    },
    "queues": QUEUES,
    "human_hours": 4.25,
    "audits_expected": 76.0,
    "escaped_error": ESCAPED,
    "errors_escaping": {"value": 113.7, "low": 37.9, "high": 379.0},
    "errors_caught": {"value": 300.0, "low": 270.0, "high": 332.0},
    "covered_until": "2026-11-24T12:00:00Z",
    "without_monitors": 0,
    "curve": [
        {
            "threshold": 0.8,
            "review_share": 0.17,
            "escaped_error": {**ESCAPED, "value": 0.05, "high": 0.13},
            "human_hours": 3.1,
        },
        {
            "threshold": 0.9,
            "review_share": 0.24,
            "escaped_error": ESCAPED,
            "human_hours": 4.25,
        },
    ],
}
NOT_KNOWN = {"value": None, "low": None, "high": None}
NO_ANSWERS = {**NOT_KNOWN, "decisions": 0, "judged": 0, "undecided": 0, "reason": "no_decisions"}
SIMULATION_OF_ROWS = {
    **SIMULATION,
    "from": None,
    "to": None,
    "queues": [{**queue, "per_hour_mean": None, "per_hour_max": None} for queue in QUEUES],
    "escaped_error": NO_ANSWERS,
    "errors_escaping": NOT_KNOWN,
    "errors_caught": NOT_KNOWN,
    "covered_until": None,
    "curve": None,
}

QUEUED_JOB = {
    "id": "01a20e04-19d5-7c0e-8a55-3f8a7f8d2c11",
    "kind": "simulation",
    "state": "queued",
    "progress": {"done": 0, "total": None},
    "result": None,
    "problem": None,
    "created_at": "2026-11-24T15:00:00.118204Z",
    "started_at": None,
    "finished_at": None,
}
DONE_JOB = {
    **QUEUED_JOB,
    "state": "done",
    "progress": {"done": 5000, "total": 5000},
    "result": SIMULATION,
    "started_at": "2026-11-24T15:00:00.402117Z",
    "finished_at": "2026-11-24T15:00:00.619450Z",
}
