"""The demo's calls when the service is busy or refuses; the network's other end is played here."""

from collections.abc import Callable

import httpx
import pytest

from app.dev.demo.service import Service, ServiceRefusedError


def service(answer: Callable[[httpx.Request], httpx.Response]) -> Service:
    transport = httpx.MockTransport(answer)
    return Service(httpx.AsyncClient(base_url="http://overrule.test", transport=transport))


async def test_an_overloaded_service_is_asked_again_when_it_says() -> None:
    answers = [
        httpx.Response(503, headers={"Retry-After": "0"}),
        httpx.Response(429, headers={"Retry-After": "0"}),
        httpx.Response(200, json={"leases": [{"assignment_id": "a-1"}]}),
    ]

    leases = await service(lambda _: answers.pop(0)).lease("triage", "rater-1", 5)

    assert leases == [{"assignment_id": "a-1"}]
    assert answers == []


async def test_a_service_that_stays_overloaded_is_given_up() -> None:
    asked = []

    def busy(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(503, headers={"Retry-After": "0"}, text="no database")

    with pytest.raises(ServiceRefusedError, match="503 no database"):
        await service(busy).lease("triage", "rater-1", 5)

    assert len(asked) == 6


async def test_a_refused_call_is_not_repeated_and_says_why() -> None:
    answers = [httpx.Response(422, text="bad queue")]

    with pytest.raises(ServiceRefusedError, match="PUT /v1/queues/x: 422 bad queue"):
        await service(lambda _: answers.pop(0)).put_queue("x", {})


async def test_a_refused_row_stops_the_demo_with_its_problem() -> None:
    rows = [{"status": 200, "decision": {}}, {"status": 422, "problem": {"code": "invalid"}}]
    answer = httpx.Response(200, json={"results": rows})

    with pytest.raises(ServiceRefusedError, match="invalid"):
        await service(lambda _: answer).predict([{}, {}])
