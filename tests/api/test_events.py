"""The feed of events over HTTP."""

import uuid

import httpx

from app.flows.context import Context
from app.store.outbox import add_event
from tests.scenario import Scenario


async def happened(scenario: Scenario, *types: str) -> list[str]:
    async with scenario.ctx.db.write() as tx:
        return [
            str(await add_event(tx, scenario.project, type_, {"n": n}))
            for n, type_ in enumerate(types)
        ]


async def test_whoever_comes_back_reads_what_came_after(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    ids = await happened(scenario, "monitor.changed", "item.due")

    first = (await client.get("/v1/events")).json()
    ids += await happened(scenario, "monitor.changed")
    later = (await client.get(f"/v1/events?after={first['items'][-1]['id']}")).json()

    assert [event["id"] for event in first["items"]] == ids[:2]
    assert first["next_cursor"] is None
    assert [event["id"] for event in later["items"]] == ids[2:]
    assert first["items"][1]["data"] == {"n": 1}


async def test_pages_go_on_after_the_last_event(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    ids = await happened(scenario, *["monitor.changed"] * 3)

    walked, cursor = [], ""
    while True:
        page = (await client.get(f"/v1/events?limit=2&after={ids[0]}{cursor}")).json()
        walked += [event["id"] for event in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert walked == ids[1:]


async def test_events_are_chosen_by_type(client: httpx.AsyncClient, scenario: Scenario) -> None:
    await happened(scenario, "monitor.changed", "item.due")

    page = (await client.get("/v1/events?type=item.due")).json()

    assert [event["type"] for event in page["items"]] == ["item.due"]


async def test_another_projects_events_are_not_seen(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await happened(await Scenario.start(ctx), "monitor.changed")

    assert (await client.get("/v1/events")).json()["items"] == []


async def test_what_is_no_id_or_type_is_refused(client: httpx.AsyncClient) -> None:
    for query in ("after=7", "type=A%00", "limit=0", "cursor=x"):
        assert (await client.get(f"/v1/events?{query}")).status_code == 422
    assert (await client.get(f"/v1/events?after={uuid.UUID(int=0)}")).status_code == 200
