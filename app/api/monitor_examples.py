"""Examples of what operations about monitors answer: reviews of products come after tweets."""

from app.api.examples import Example

NAME = "confidence"
EVALUATION_ID = "01a20ddf-4c00-7aa0-9d2c-6f1d2b83a5e1"
MONITOR_FIELDS = {
    "name": NAME,
    "model": "sentiment",
    "signal": "confidence",
    "reference": {"name": "validated", "version": 1},
    "certified_error": None,
    "bucket_s": 3600,
    "grace_s": 900,
    "windows": [1, 24],
    "state": "drifting",
    "muted_until": None,
    "acknowledged_at": None,
    "acknowledged_by": None,
    "created_at": "2026-11-23T09:12:00.218058Z",
    "updated_at": "2026-11-23T09:12:00.218058Z",
}
STATES = [
    {
        "model_version": "1",
        "segment": None,
        "state": "drifting",
        "effective": "drifting",
        "since": "2026-11-24T14:00:00Z",
        "evaluation": EVALUATION_ID,
        "acknowledged": False,
        "by_length": [
            {
                "length": 1,
                "state": "drifting",
                "since": "2026-11-24T14:00:00Z",
                "evaluation": EVALUATION_ID,
            }
        ],
    }
]
MONITOR = {**MONITOR_FIELDS, "states": STATES}
NEW_MONITOR = {**MONITOR_FIELDS, "state": "collecting", "states": []}
MUTED = {
    **MONITOR,
    "state": "stable",
    "muted_until": "2026-11-24T22:20:00Z",
    "states": [{**STATES[0], "effective": "stable"}],
}
STREAM = {
    "stream": "confidence",
    "m": 20000,
    "n": 812,
    "cells": 14,
    "family": 26,
    "insufficient": None,
    "severity": "drift",
    "statistic": 164.2,
    "effect": 0.2104,
    "p": 0.0,
    "g_lcb": 0.1491,
    "levels": [
        {"severity": "shift", "threshold": 0.02, "p_min": 0.0, "p_holm": 0.0},
        {"severity": "drift", "threshold": 0.1, "p_min": 0.00002, "p_holm": 0.0005},
        {"severity": "severe", "threshold": 0.25, "p_min": 0.74, "p_holm": 1.0},
    ],
    "unseen": None,
    "unseen_low": None,
    "distances": {
        "psi": 0.214,
        "jensen_shannon": 0.19,
        "l_infinity": 0.11,
        "kolmogorov_smirnov": 0.18,
        "wasserstein": 0.41,
    },
}
EVALUATION = {
    "id": EVALUATION_ID,
    "reference": {"name": "validated", "version": 1},
    "model_version": "1",
    "segment": None,
    "window": {"from": "2026-11-24T13:00:00Z", "to": "2026-11-24T14:00:00Z", "length": 1},
    "state": "drifting",
    "streams": [STREAM],
    "concept": None,
    "gap": None,
    "evaluated_at": "2026-11-24T14:15:01.118204Z",
}
EVENT = {
    "id": "01a20ded-1b2c-7c31-8f0a-5d2f7c1e9a44",
    "type": "monitor.changed",
    "data": {
        "monitor": NAME,
        "model": "sentiment",
        "model_version": "1",
        "segment": None,
        "from": "warning",
        "to": "drifting",
        "evaluation": EVALUATION_ID,
        "window_start": "2026-11-24T13:00:00Z",
        "window_end": "2026-11-24T14:00:00Z",
    },
    "created_at": "2026-11-24T14:15:01.118204Z",
}

# by operationId
MONITOR_EXAMPLES: dict[str, Example] = {
    "put_monitor": Example(response=NEW_MONITOR),
    "list_monitors": Example(response={"items": [MONITOR_FIELDS], "next_cursor": None}),
    "get_monitor": Example(response=MONITOR),
    "list_evaluations": Example(response={"items": [EVALUATION], "next_cursor": None}),
    "acknowledge_monitor": Example(
        response={
            **MONITOR,
            "acknowledged_at": "2026-11-24T14:20:00Z",
            "acknowledged_by": "operations",
            "states": [{**STATES[0], "acknowledged": True}],
        }
    ),
    "mute_monitor": Example(response=MUTED),
    "unmute_monitor": Example(response=MONITOR),
    "accept_monitor": Example(
        response={
            "reference": {"name": "validated", "version": 2},
            "predictions": 1812,
            "digest": "6c1f5d0a0f6b7be8f0b5d7a1c2f2e48cf9e7a9f4f9b1c0a3c4d2b8e6a1f7d3c9",
            "monitors": ["confidence", "label"],
        }
    ),
    "list_events": Example(response={"items": [EVENT], "next_cursor": None}),
}
