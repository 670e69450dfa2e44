"""Every example does what it shows."""

import pytest
import yaml

from app.api.examples import EXAMPLES
from tests.contract.document import Operation, operations, response_mistakes
from tests.contract.world import World


@pytest.mark.parametrize("operation", operations, ids=lambda operation: operation.name)
async def test_an_example_is_taken_and_answered_as_documented(
    world: World, operation: Operation
) -> None:
    key = world.admin if operation.for_admins else world.key
    body = operation.body["example"] if operation.body is not None else None

    async with world.http(key) as http:
        response = await http.request(operation.method, world.path(operation), json=body)

    assert response.status_code in operation.successes, response.text
    assert response_mistakes(operation, response) == []


async def test_the_yaml_example_makes_the_same_policy(world: World) -> None:
    text = yaml.safe_dump(EXAMPLES["put_policy"].request)

    async with world.http(world.key) as http:
        response = await http.put(
            "/v1/policies/sentiment", content=text, headers={"content-type": "application/yaml"}
        )

    assert (response.status_code, response.json()["version"]) == (200, 2)
