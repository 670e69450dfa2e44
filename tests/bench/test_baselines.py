"""What the baselines and the load are, so that a comparison is one."""

import asyncio
import random

import msgspec
import pytest
from httpx import ASGITransport, AsyncClient

from app.dev.bench import engine, plain_server
from app.dev.bench.load import quantile
from app.dev.bench.open_loop import open_loop
from app.dev.bench.traffic import (
    KEY_DIGITS,
    SCATTERED_PREFIX,
    batch_body,
    body,
    ndjson_body,
    scattered_body,
)


def test_engine_and_its_baseline_send_the_same_to_review() -> None:
    drawn = random.Random(engine.SEED)
    predictions = [engine._prediction(drawn, number) for number in range(engine.PREDICTIONS)]

    by_the_core = engine.decided_by_the_core(predictions, bytes(32))()

    assert by_the_core == engine.decided_by_hand(predictions)
    assert 50 < by_the_core < 200


async def test_plain_endpoint_takes_what_the_service_takes() -> None:
    prediction = msgspec.json.decode(body())

    transport = ASGITransport(plain_server.app)
    async with AsyncClient(transport=transport, base_url="http://plain") as client:
        taken = await client.post(plain_server.PATH, json=prediction)
        refused = await client.post(plain_server.PATH, json={**prediction, "colour": "red"})

    assert taken.status_code == 201
    assert taken.json()["request_key"] == prediction["request_key"]
    assert refused.status_code == 422


async def test_what_waits_behind_others_is_counted_from_when_it_was_due() -> None:
    call_s, arriving_s = 0.01, 0.05

    async def call() -> None:
        await asyncio.sleep(call_s)

    run = await open_loop([call], per_s=500, seconds=arriving_s)

    assert run.calls > 10
    # one after the other: the last one is answered after all calls, and was due long before
    assert max(run.latencies_s) > 0.9 * run.calls * call_s - arriving_s


async def test_a_call_that_fails_ends_the_open_loop() -> None:
    async def call() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await open_loop([call], per_s=1000, seconds=0.01)


def test_scattered_keys_are_equally_long_and_never_come_twice() -> None:
    keys = [msgspec.json.decode(scattered_body())["request_key"] for _ in range(1000)]

    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {len(SCATTERED_PREFIX) + KEY_DIGITS}
    assert keys != sorted(keys)


def test_a_batch_and_its_lines_hold_predictions() -> None:
    batch = msgspec.json.decode(batch_body(body() for _ in range(3)))
    lines = [msgspec.json.decode(line) for line in ndjson_body(3).splitlines()]

    assert [len(batch["predictions"]), len(lines)] == [3, 3]
    assert lines[0].keys() == batch["predictions"][0].keys()


def test_quantile_is_the_nearest_rank() -> None:
    assert quantile([4, 1, 3, 2], 0.5) == 2
    assert quantile(range(1, 101), 0.99) == 99
    assert quantile([7.0], 0.99) == 7
