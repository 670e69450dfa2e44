"""As `batch-watched`, with fifty streams."""

from app.dev.bench import batch_watched
from app.dev.bench.report import Round
from app.dev.bench.service import Service

NAME = "batch-watched-50"
UNIT = batch_watched.UNIT
BASELINE = batch_watched.BASELINE
STREAMS = 50


async def measure(service: Service, seconds: float) -> Round:
    """One round."""
    return await batch_watched.measure_streams(service, seconds, STREAMS)
