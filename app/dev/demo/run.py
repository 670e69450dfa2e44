"""The demo's story, in order: prepare, stream, review, measure, ask what if, report.

It needs a running service and a key, with all four project scopes, of a project without other
predictions. Run twice against the same project it gets the first run's decisions again and finds
no open assignment.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.dev.demo import crowd, report, reviewing, whatif
from app.dev.demo.cases import Case, prepare_cases
from app.dev.demo.report import DemoResult, Estimate
from app.dev.demo.service import Json, Service
from app.dev.demo.tally import Streamed, domain_result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from app.dev.demo.whatif import WhatIf

SEED = 7
MODEL = "sentiment"
MODEL_VERSION = "1"

BATCH_ROWS = 250
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
    *, base_url: str, key: str, json_path: Path | None, cache_dir: Path, console: Console
) -> DemoResult:
    """Play the whole demo against the service at `base_url` and print what came out.

    Raises:
        DemoDataError: the texts could not be fetched.
        ServiceRefusedError: the service refused a call.
    """
    cases = prepare_cases(cache_dir, SEED, console)
    result, found = asyncio.run(_connect_and_play(base_url, key, cases, console))
    console.print(report.table(result.domains))
    console.print(report.closing_words(result, reviewing.SECONDS_SPENT), highlight=False)
    console.print(whatif.table(found))
    console.print(whatif.explained(found), highlight=False, markup=False)
    if json_path is not None:
        document = report.document(result) | {"what_if": whatif.document_of(found)}
        json_path.write_text(json.dumps(document, indent=1) + "\n")
    return result


async def _connect_and_play(
    base_url: str, key: str, cases: Mapping[str, Sequence[Case]], console: Console
) -> tuple[DemoResult, WhatIf]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=TIMEOUT_S) as client:
        service = Service(client)
        streamed, result = await play(service, cases, console)
        return result, await whatif.ask(service, POLICY, streamed)


async def play(
    service: Service, cases: Mapping[str, Sequence[Case]], console: Console
) -> tuple[list[Streamed], DemoResult]:
    """Stream the cases domain by domain, let the reviewers answer, and ask for the estimates.

    Raises:
        ServiceRefusedError: the service refused a call.
    """
    await service.put_queue(reviewing.REVIEW_QUEUE, {})
    await service.put_queue(reviewing.AUDIT_QUEUE, {"judge": "panel"})
    await service.put_active_policy(POLICY)
    with _progress(console) as progress:
        streamed = [await _stream(service, *domain, progress) for domain in cases.items()]
        started = time.perf_counter()
        answers = await _review(service, streamed, progress)
        review_seconds = time.perf_counter() - started
    estimates = [await _estimate(service, domain) for domain in cases]
    labels = {a.text_id: a.label for a in answers if a.queue == reviewing.REVIEW_QUEUE}
    pairs = zip(streamed, estimates, strict=True)
    result = DemoResult(
        domains=tuple(domain_result(part, labels, estimate) for part, estimate in pairs),
        throughput_per_s=sum(len(p.cases) for p in streamed) / sum(p.seconds for p in streamed),
        verdicts=len(answers),
        verdicts_per_s=len(answers) / review_seconds,
    )
    return streamed, result


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=console)


async def _stream(
    service: Service, domain: str, cases: Sequence[Case], progress: Progress
) -> Streamed:
    """Post one domain's predictions in order, with a few batches on their way at a time."""
    bar = progress.add_task(domain, total=len(cases))
    in_flight = asyncio.Semaphore(BATCHES_IN_FLIGHT)

    async def post(batch: Sequence[Case]) -> list[Json]:
        async with in_flight:
            decisions = await service.predict([_prediction(case) for case in batch])
        progress.advance(bar, len(batch))
        return decisions

    started = time.perf_counter()
    batches = [cases[start : start + BATCH_ROWS] for start in range(0, len(cases), BATCH_ROWS)]
    answered = await asyncio.gather(*(post(batch) for batch in batches))
    decisions = [decision for batch in answered for decision in batch]
    return Streamed(domain, cases, decisions, time.perf_counter() - started)


def _prediction(case: Case) -> Json:
    return {
        "request_key": case.text.id,
        "input_key": case.text.id,
        "model": MODEL,
        "model_version": MODEL_VERSION,
        "label": case.scored.label,
        "scores": case.scored.scores,
        "features": case.scored.features,
        "embedding": case.scored.embedding,
        "segment": {"domain": case.text.domain},
        "subject": reviewing.subject_of(case.text),
    }


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
