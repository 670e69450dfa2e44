"""Examples of references and of comparisons."""

from typing import Any

from app.api.examples import Example

ROW = {
    "label": "positive",
    "confidence": 0.91,
    "features": {"n_tokens": 12, "lang": "en"},
}
HEAD: dict[str, Any] = {
    "id": "01a20dd1-11aa-7bb3-8001-6f2f6a2a4c11",
    "name": "validated",
    "version": 1,
    "model": "sentiment",
    "model_version": None,
    "segment": "source:tweets",
    "detector": None,
    "predictions": 1,
    "digest": "c1bd7f4f2f7d8a2a1ba2b1d42b1e8ba1a3cb1d2d8f9f03c0a2b1b7a1f8d2e6c4",
    "source": {"kind": "rows"},
    "created_at": "2026-11-24T14:12:00.052124Z",
    "created_by": "key:01a20dd0-0f3b-7c51-8e3f-2b8f4d7b9a10",
}
SHARE_SPEC = "71a0c2f4a4b8d0b4b4c0f7a1b9d3e2f6c5a4938271605f4e3d2c1b0a99887766"
DETAIL = {
    **HEAD,
    "streams": [
        {
            "stream": "missing",
            "kind": "share",
            "cells": 2,
            "counted": 1,
            "missing": None,
            "testable": False,
            "why": "reference_too_small",
        }
    ],
    "left_out": [],
    "document": {
        "streams": [
            {
                "stream": "missing",
                "bins": {"kind": "share"},
                "spec": SHARE_SPEC,
                "counts": [1, 0],
                "expected": ["label", "confidence"],
            }
        ]
    },
}
COMPARED = {
    "stream": "posted",
    "m": 1000,
    "n": 1000,
    "cells": 5,
    "family": 1,
    "insufficient": None,
    "severity": "none",
    "statistic": 4.082332,
    "effect": 0.008165,
    "p": 0.394978,
    "g_lcb": 0.0,
    "levels": [
        {"severity": "shift", "threshold": 0.02, "p_min": 0.95979, "p_holm": 0.95979},
        {"severity": "drift", "threshold": 0.1, "p_min": 1.0, "p_holm": 1.0},
        {"severity": "severe", "threshold": 0.25, "p_min": 1.0, "p_holm": 1.0},
    ],
    "unseen": None,
    "unseen_low": None,
    "distances": {
        "psi": 0.008123,
        "jensen_shannon": 0.038372,
        "l_infinity": 0.02,
        "kolmogorov_smirnov": None,
        "wasserstein": None,
    },
}
REFERENCE_EXAMPLES: dict[str, Example] = {
    "put_reference": Example(
        {"model": "sentiment", "segment": "source:tweets", "rows": [ROW]}, DETAIL
    ),
    "list_references": Example(response={"items": [HEAD], "next_cursor": None}),
    "get_latest_reference": Example(response=DETAIL),
    "get_reference": Example(response=DETAIL),
    "compare": Example(
        {"reference": [100, 200, 300, 250, 150], "window": [120, 180, 280, 260, 160]},
        {"streams": [COMPARED], "left_out": [], "reference": None, "window": None},
    ),
}
