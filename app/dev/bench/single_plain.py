"""One prediction a request, as `single`, beside what a web framework takes for any typed endpoint.

The baseline is an ordinary endpoint of FastAPI and Pydantic (`plain_server.py`) that checks the
same body against models with the same limits and answers with a decision of the same size. It runs
in a process of its own with the same server settings as ours, and neither checks a key nor stores
anything.
"""

from app.dev.bench.plain_server import PATH as PLAIN_PATH
from app.dev.bench.report import Round
from app.dev.bench.service import Service
from app.dev.bench.single import PATH, post_many

NAME = "single-plain"
UNIT = "predictions"
BASELINE = (
    "an ordinary FastAPI and Pydantic endpoint that checks no key and stores nothing; "
    "64 connections, both"
)


async def measure(service: Service, seconds: float) -> Round:
    """One round."""
    ours = await post_many(service.port, PATH, service.key, seconds)
    await service.settled()
    return Round(ours, await post_many(service.plain_port, PLAIN_PATH, service.key, seconds))
