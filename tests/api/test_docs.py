"""The document and its page are there for whoever looks, without a key."""

import httpx

from app.flows.context import Context
from app.main import build


def looking(ctx: Context) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=build(ctx)), base_url="http://overrule.test"
    )


async def test_the_openapi_document_is_served(ctx: Context) -> None:
    async with looking(ctx) as http:
        response = await http.get("/openapi.json")

    assert response.status_code == 200
    assert response.json()["info"]["title"] == "Overrule"
    assert "/v1/predictions" in response.json()["paths"]


async def test_the_page_shows_the_document(ctx: Context) -> None:
    async with looking(ctx) as http:
        response = await http.get("/docs")

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in response.text
