"""Requests made up from the OpenAPI document: whatever fits it, or nearly, gives no 5xx."""

import asyncio
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from tests.contract.document import PROBLEM, Operation, document, operations, response_mistakes
from tests.contract.world import World

CASES = 25
SCHEMA = schemathesis.openapi.from_dict(document)
QUIETLY = settings(
    max_examples=CASES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("operation", operations, ids=lambda operation: operation.name)
async def test_made_up_requests_are_answered_as_documented(
    world: World, operation: Operation
) -> None:
    described = SCHEMA[operation.path][operation.method]
    fitting, nearly = (described.as_strategy(generation_mode=mode) for mode in GenerationMode)
    cases = st.tuples(st.one_of(fitting, nearly), st.booleans())
    loop = asyncio.get_running_loop()

    @QUIETLY
    @given(cases)
    def send(drawn: tuple[Any, bool]) -> None:
        case, known = drawn
        if known:
            # made-up ids find nothing: half of the requests name what is there
            case.path_parameters = {
                name: world.parameters[name] for name in operation.path_parameters
            }
        waiting = asyncio.run_coroutine_threadsafe(_answer(world, operation, case), loop)
        response = waiting.result(timeout=10)
        assert _complaint(operation, response) is None

    # Hypothesis draws in a thread, since its tests are not coroutines
    await asyncio.to_thread(send)


async def _answer(world: World, operation: Operation, case: Any) -> httpx.Response:
    # nothing waits for work that nobody brings
    if isinstance(case.body, dict) and "wait_s" in case.body:
        case.body["wait_s"] = 0
    if isinstance(case.query, dict):
        case.query.pop("wait_s", None)
    made: Any = requests.Request(**case.as_transport_kwargs(base_url="http://o.test")).prepare()
    headers = {name: value for name, value in made.headers.items() if name != "Authorization"}
    key = world.admin if operation.for_admins else world.key
    async with world.http(key) as http, world.undone():
        return await http.request(made.method, made.url, content=made.body, headers=headers)


def _complaint(operation: Operation, response: httpx.Response) -> str | None:
    if response.status_code >= 500:
        return f"{response.status_code} {response.text[:200]}"
    if response.status_code in {404, 405} and response.headers["content-type"] == PROBLEM:
        # a made-up path may lead nowhere
        return None
    return "; ".join(response_mistakes(operation, response)) or None
