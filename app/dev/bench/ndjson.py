"""Ten thousand predictions in one request, a line each, as an export sends them.

The baseline is as many of the same rows in batches of 500 as JSON. Both go over one connection, one
request after the other: the service commits a stream 500 lines at a time, so of either 500 rows are
on their way to the disk at once. All requests are made before the clock starts.
"""

from math import ceil

from app.dev.bench import batch
from app.dev.bench.connection import NDJSON, request_bytes
from app.dev.bench.prepared import post_prepared
from app.dev.bench.report import Round
from app.dev.bench.service import Service
from app.dev.bench.traffic import ndjson_body

NAME = "ndjson"
UNIT = "rows"
BASELINE = "the same rows in batches of 500 as JSON; over one connection, both"
ROWS = 10_000
# more than a machine of this kind takes over one connection; a quicker one ends sooner
ROWS_PER_S_MAX = 50_000


async def measure(service: Service, seconds: float) -> Round:
    """One round."""
    count = ceil(ROWS_PER_S_MAX * seconds / ROWS)
    streams = [
        request_bytes("POST", batch.PATH, service.key, ndjson_body(ROWS), NDJSON)
        for _ in range(count)
    ]
    ours = await post_prepared(service.port, streams, rows=ROWS, at_once=1, seconds=seconds)
    batches = batch.requests(service, ceil(ours.calls * ROWS / batch.ROWS))
    await service.settled()
    return Round(
        ours,
        await post_prepared(
            service.port, batches, rows=batch.ROWS, at_once=1, seconds=2 * ours.elapsed_s
        ),
    )
