"""Examples of detectors."""

from typing import Any

from app.api.examples import Example

FITTING: dict[str, Any] = {
    "id": "01a20dd3-52c4-7d06-9a41-0f0a7c2f6b55",
    "name": "tweets",
    "version": 1,
    "model": "sentiment",
    "state": "fitting",
    "job": "01a20dd3-52c4-7d06-9a41-0f0b11d0a2c9",
    "source": {"from_predictions": {"from": "2026-11-17T00:00:00Z", "to": "2026-11-24T00:00:00Z"}},
    "digest": None,
    "summary": None,
    "created_at": "2026-11-24T14:15:00.210932Z",
    "created_by": "key:01a20dd0-0f3b-7c51-8e3f-2b8f4d7b9a10",
    "ready_at": None,
}
READY = {
    **FITTING,
    "state": "ready",
    "digest": "5b0f6f1c9c1f0d6b7c1a4f8be3e2a9d0c7b6a5948372615f4e3d2c1b0a998877",
    "summary": {
        "kind": "embedding",
        "score": "relative_mahalanobis",
        "dimension": 384,
        "components": 128,
        "variance_explained": 0.93,
        "shrinkage": 0.012,
        "classes": 3,
        "fitted_on": 16000,
        "calibrated_on": 4000,
        "smallest_p": 0.0004998750312421895,
        "left_out": 0,
    },
    "ready_at": "2026-11-24T14:15:03.874121Z",
}
DETECTOR_EXAMPLES: dict[str, Example] = {
    "put_detector": Example(
        {
            "model": "sentiment",
            "from_predictions": {"from": "2026-11-17T00:00:00Z", "to": "2026-11-24T00:00:00Z"},
        },
        FITTING,
    ),
    "list_detectors": Example(response={"items": [READY], "next_cursor": None}),
    "get_detector": Example(response=READY),
    "retire_detector": Example(response={**READY, "state": "retired"}),
}
