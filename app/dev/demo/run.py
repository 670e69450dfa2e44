"""The demo's story, in order: prepare, stream, watch, review, measure, ask what if, report.

It needs a running service and a key, with all four project scopes, of a project without other
predictions. Run twice against the same project it gets the first run's decisions again and finds
no open assignment.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.dev.demo import crowd, drift, report, reviewing, whatif
from app.dev.demo.cases import MODEL, Case, Material, prediction_of, prepare
from app.dev.demo.report import DemoResult, Estimate
from app.dev.demo.service import Json, Service
from app.dev.demo.tally import Streamed, domain_result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from app.dev.demo.whatif import WhatIf

SEED = 7

# the tweets that the reference is made of; the others show that nothing alarms without a reason
REFERENCE_TWEETS = 1200
BATCH_ROWS = 250
# batches of a bucket of the monitors, by domain; what is not named comes as fast as it can
BATCHES_A_BUCKET = {"tweets": 1, "amazon": 2, "nyt": 2}
BATCHES_IN_FLIGHT = 4
TIMEOUT_S = 60.0

# With these thresholds a fifth of the tweets goes to review, and half of the editorials.
POLICY: dict[str, Any] = {
    "name": "sentiment",
    "applies_to": {"model": MODEL},
    "labels": list(crowd.LABELS),
    "segments": ["domain"],
    "rules": [
        {
            "id": "unknown-words",
            "when": "has(prediction.features.oov_share) && prediction.features.oov_share > 0.5",
            "route": "review",
            "queue": reviewing.REVIEW_QUEUE,
        },
        {
            "id": "tie",
            "margin": {"below": 0.15},
            "route": "review",
            "queue": reviewing.REVIEW_QUEUE,
        },
        {
            "id": "low-confidence",
            "confidence": {"below": 0.55},
            "route": "review",
            "queue": reviewing.REVIEW_QUEUE,
        },
    ],
    # Far more than one would audit in earnest: a demo is short, and its intervals should mean
    # something.
    "audit": {"probability": 0.1, "queue": reviewing.AUDIT_QUEUE},
    "default": "accept",
}


def run(
    *,
    base_url: str,
    key: str,
    json_path: Path | None,
    cache_dir: Path,
    pictures: Path,
    console: Console,
) -> DemoResult:
    """Play the whole demo against the service at `base_url` and print what came out.

    Raises:
        DemoDataError: the texts could not be fetched.
        ServiceRefusedError: the service refused a call.
    """
    material = prepare(cache_dir, SEED, console)
    result, watched, found = asyncio.run(_connect_and_play(base_url, key, material, console))
    picture = pictures / f"{drift.PICTURED}.svg"
    pictures.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(watched.picture)
    console.print(report.table(result.domains))
    console.print(report.closing_words(result, reviewing.SECONDS_SPENT), highlight=False)
    console.print(drift.words(watched, picture), highlight=False, markup=False, soft_wrap=True)
    console.print(whatif.table(found))
    console.print(whatif.explained(found), highlight=False, markup=False)
    if json_path is not None:
        document = report.document(result) | {
            "what_if": whatif.document_of(found),
            "drift": drift.document_of(watched, picture),
        }
        json_path.write_text(json.dumps(document, indent=1) + "\n")
    return result


async def _connect_and_play(
    base_url: str, key: str, material: Material, console: Console
) -> tuple[DemoResult, drift.Drift, WhatIf]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=TIMEOUT_S) as client:
        service = Service(client)
        await prepare_service(service)
        with progress_on(console) as progress:
            streamed, watched = await _stream_watched(service, material, progress)
            result = await measure(service, streamed, progress)
        return result, watched, await whatif.ask(service, POLICY, streamed)


async def prepare_service(service: Service) -> None:
    """Make the queues and the policy."""
    await service.put_queue(reviewing.REVIEW_QUEUE, {})
    await service.put_queue(reviewing.AUDIT_QUEUE, {"judge": "panel"})
    await service.put_active_policy(POLICY)


async def measure(service: Service, streamed: Sequence[Streamed], progress: Progress) -> DemoResult:
    """Let the reviewers answer, and ask for the estimates."""
    started = time.perf_counter()
    answers = await _review(service, streamed, progress)
    review_seconds = time.perf_counter() - started
    estimates = [await _estimate(service, part.domain) for part in streamed]
    labels = {a.text_id: a.label for a in answers if a.queue == reviewing.REVIEW_QUEUE}
    pairs = zip(streamed, estimates, strict=True)
    return DemoResult(
        domains=tuple(domain_result(part, labels, estimate) for part, estimate in pairs),
        throughput_per_s=max(len(part.cases) / part.seconds for part in streamed),
        verdicts=len(answers),
        verdicts_per_s=len(answers) / review_seconds,
    )


async def _stream_watched(
    service: Service, material: Material, progress: Progress
) -> tuple[list[Streamed], drift.Drift]:
    """Some tweets become the reference; the others and all that follows is compared with them."""
    (domain, tweets), *others = material.cases.items()
    first = await stream(service, domain, tweets[:REFERENCE_TWEETS], progress)
    known = [case.scored for case in first.cases]
    await drift.fit_detector(service, MODEL, [*material.training, *known])
    await drift.watch(service, MODEL, [prediction_of(case) for case in first.cases])
    await service.put_active_policy({**POLICY, "on_drift": drift.ON_DRIFT})
    rest = await stream(service, domain, tweets[REFERENCE_TWEETS:], progress, paced=True)
    # the last tweets' bucket closes before the first other text comes
    await asyncio.sleep(drift.SETTLING_S)
    shifted_at = datetime.now(UTC)
    streamed = [joined(first, rest)]
    for name, cases in others:
        streamed.append(await stream(service, name, cases, progress, paced=True))
    await asyncio.sleep(drift.SETTLING_S)
    return streamed, await drift.found(service, POLICY, streamed, shifted_at)


def joined(one: Streamed, other: Streamed) -> Streamed:
    """Two parts of one domain."""
    return Streamed(
        one.domain,
        [*one.cases, *other.cases],
        [*one.decisions, *other.decisions],
        one.began,
        one.seconds + other.seconds,
    )


def progress_on(console: Console) -> Progress:
    """Bars with what is done of each part."""
    columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=console)


async def stream(
    service: Service,
    domain: str,
    cases: Sequence[Case],
    progress: Progress,
    *,
    paced: bool = False,
) -> Streamed:
    """Post one domain's predictions in order, with a few batches on their way at a time.

    `paced`: no more than `BATCHES_A_BUCKET` in each bucket of the monitors.
    """
    bar = progress.add_task(domain, total=len(cases))
    in_flight = asyncio.Semaphore(BATCHES_IN_FLIGHT)

    async def post(batch: Sequence[Case]) -> list[Json]:
        async with in_flight:
            decisions = await service.predict([prediction_of(case) for case in batch])
        progress.advance(bar, len(batch))
        return decisions

    began, started = datetime.now(UTC), time.perf_counter()
    batches = [cases[start : start + BATCH_ROWS] for start in range(0, len(cases), BATCH_ROWS)]
    at_once = BATCHES_A_BUCKET.get(domain, len(batches)) if paced else len(batches)
    decisions: list[Json] = []
    for turn in range(0, len(batches), at_once):
        if paced:
            await drift.next_bucket()
        answered = await asyncio.gather(*map(post, batches[turn : turn + at_once]))
        decisions += (decision for batch in answered for decision in batch)
    return Streamed(domain, cases, decisions, began, time.perf_counter() - started)


async def _review(
    service: Service, streamed: Sequence[Streamed], progress: Progress
) -> list[reviewing.Answer]:
    texts = {case.text.id: case.text for part in streamed for case in part.cases}
    bar = progress.add_task("verdicts", total=sum(part.asked for part in streamed))
    return await reviewing.answer_everything(
        service, texts, SEED, on_answer=lambda: progress.advance(bar)
    )


async def _estimate(service: Service, domain: str) -> Estimate:
    answer = await service.accepted_error(MODEL, f"domain:{domain}")
    return Estimate(answer["value"], answer["low"], answer["high"])
