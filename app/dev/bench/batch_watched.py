"""Five hundred predictions a request, counted in ten streams of a monitored model.

The baseline is the same batch of a model that nobody watches, over the same connections to the same
service: what counting costs is what is missing from a ratio of 1.
"""

import random
from collections.abc import Callable
from typing import Any

from app.dev.bench.batch import post_batches
from app.dev.bench.connection import Connection, connected, request_bytes
from app.dev.bench.report import Round
from app.dev.bench.service import Service
from app.dev.bench.traffic import POLICY, featured_body

NAME = "batch-watched"
UNIT = "rows"
STREAMS = 10
BASELINE = "the same rows of a model without monitors"
REFERENCE_ROWS = 1000
# label, confidence and missing are streams, too
NOT_FEATURES = 3


async def measure(service: Service, seconds: float) -> Round:
    """One round."""
    return await measure_streams(service, seconds, STREAMS)


async def measure_streams(service: Service, seconds: float, streams: int) -> Round:
    """One round with a reference of so many streams."""
    # equally long names
    watched, plain = f"watched-{streams}", f"plain---{streams}"
    features = streams - NOT_FEATURES
    async with connected(service.port, 1) as (connection,):
        for model in (watched, plain):
            await _put_policy(connection, service.key, model)
        await _put_monitors(connection, service.key, watched, features)
    ours = await post_batches(service, seconds, _bodies(watched, features))
    await service.settled()
    return Round(ours, await post_batches(service, seconds, _bodies(plain, features)))


def _bodies(model: str, features: int) -> Callable[[], bytes]:
    return lambda: featured_body(model, features)


async def _put_policy(connection: Connection, key: str, model: str) -> None:
    path = f"/v1/policies/{model}"
    policy = {**POLICY, "name": model, "applies_to": {"model": model}}
    version = (await connection.put(path, key, policy))["version"]
    activate = f"{path}/versions/{version}/activate"
    await connection.expect(200, request_bytes("POST", activate, key, b""))


async def _put_monitors(connection: Connection, key: str, model: str, features: int) -> None:
    chance = random.Random(1)  # noqa: S311 - the same reference in every run
    body = {"model": model, "rows": [_row(chance, features) for _ in range(REFERENCE_ROWS)]}
    await connection.put(f"/v1/references/{model}", key, body)
    for signal in ("label", "confidence", "features", "missing"):
        monitor = {"model": model, "signal": signal, "reference": model}
        await connection.put(f"/v1/monitors/{model}-{signal}", key, monitor)


def _row(chance: random.Random, features: int) -> dict[str, Any]:
    return {
        "label": chance.choice(["negative", "neutral", "positive"]),
        "confidence": chance.random(),
        "features": {f"f{n:02}": chance.random() for n in range(features)},
    }
