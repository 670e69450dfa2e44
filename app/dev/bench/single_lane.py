"""As `single`, beside the baseline on the fast lane: what deciding and committing alone cost."""

from app.dev.bench.report import Round
from app.dev.bench.server import VALIDATE_ON_THE_LANE
from app.dev.bench.service import Service
from app.dev.bench.single import PATH, post_many

NAME = "single-lane"
UNIT = "predictions"
BASELINE = "the same endpoint as for single, on the fast lane that ours takes; 64 connections, both"


async def measure(service: Service, seconds: float) -> Round:
    """One round."""
    ours = await post_many(service.port, PATH, service.key, seconds)
    await service.settled()
    return Round(ours, await post_many(service.port, VALIDATE_ON_THE_LANE, service.key, seconds))
