"""One prediction, from POST to metric: read this test first.

It tells the whole story through the API, as a caller, a reviewer and a dashboard see it.
"""

from typing import Any

import httpx

POLICY = {
    "name": "sentiment",
    "applies_to": {"model": "sentiment"},
    "rules": [
        {"id": "unsure", "confidence": {"below": 0.85}, "route": "review", "queue": "triage"}
    ],
    "audit": {"probability": 0.02},
}
PREDICTION = {
    "request_key": "req-81c",
    "model": "sentiment",
    "model_version": "1",
    "scores": {"positive": 0.61, "neutral": 0.3, "negative": 0.09},
    "subject": {"text": "great, just what I needed"},
}


async def call(client: httpx.AsyncClient, method: str, path: str, body: Any = None) -> Any:
    response = await client.request(method, path, json=body)
    assert response.is_success, response.text
    return response.json()


async def test_one_prediction_from_post_to_metric(client: httpx.AsyncClient) -> None:
    # a manager makes a queue, and a policy that sends what the model is unsure about into it
    await call(client, "PUT", "/v1/queues/triage", {})
    policy = await call(client, "PUT", "/v1/policies/sentiment", POLICY)
    assert (policy["version"], policy["state"]) == (1, "draft")
    await call(client, "POST", "/v1/policies/sentiment/versions/1/activate")

    # the model server posts a prediction, and hears that a human must look at it first
    decision = await call(client, "POST", "/v1/predictions", PREDICTION)
    assert (decision["route"], decision["reason"]) == ("review", "unsure")
    assert (decision["label"], decision["confidence"]) == ("positive", 0.61)
    assert decision["trace"] == [
        {
            "rule": "unsure",
            "kind": "confidence",
            "state": "fired",
            "observed": 0.61,
            "threshold": 0.85,
        }
    ]
    assert decision["item"]["blocking"]
    assert decision["resolution"] is None

    # a labeling tool claims the work for a reviewer ...
    claim = {"reviewer": "r-17", "max": 5}
    claimed = await call(client, "POST", "/v1/queues/triage/leases", claim)
    (lease,) = claimed["leases"]
    assert lease["item"]["id"] == decision["item"]["id"]
    assert lease["item"]["subject"] == PREDICTION["subject"]
    assert lease["prediction"]["label"] == "positive"

    # ... who sees the irony
    verdict = {
        "token": lease["token"],
        "verdict": "correct",
        "label": "negative",
        "seconds_spent": 12.5,
        "comment": "irony",
    }
    await call(client, "POST", f"/v1/assignments/{lease['assignment_id']}/verdict", verdict)

    # the model server reads the human answer
    settled = await call(client, "GET", f"/v1/decisions/{decision['id']}?wait_s=1")
    assert settled["resolution"]["label"] == "negative"
    assert settled["resolution"]["judge"] == "single"
    assert settled["resolution"]["agreed"] is False

    # and the dashboard shows it
    summary = await call(client, "GET", "/v1/metrics/summary?model=sentiment")
    assert summary["decisions"]["by_route"]["review"] == {"decisions": 1, "share": 1.0}
    assert summary["by_reason"] == [{"reason": "unsure", "decisions": 1, "share": 1.0}]
    assert summary["human_seconds"] == 12.5
    assert summary["turnaround"]["n"] == 1
    reviews = summary["agreement"]["reviews"]
    assert (reviews["value"], reviews["n"]) == (0.0, 1)
    (triage,) = (queue for queue in summary["queues"] if queue["queue"] == "triage")
    assert (triage["inflow"], triage["outflow"], triage["depth"]) == (1, 1, 0)
