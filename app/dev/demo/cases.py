"""The demo's material: which texts are streamed, what the model says of each, and what is true."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.dev.demo.classifier import Scored, SentimentClassifier, split_for_training
from app.dev.demo.crowd import panel_label
from app.dev.demo.reviewing import subject_of
from app.dev.demo.texts import DOMAINS, Text, load_texts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from app.dev.demo.service import Json

MODEL = "sentiment"
MODEL_VERSION = "1"

TRAINING_DOMAIN = "tweets"
TRAINING_SHARE = 0.5  # of the tweets; the other half is streamed


@dataclass(frozen=True, slots=True)
class Case:
    """One text to stream: the label of its raters' plurality, and what the model says."""

    text: Text
    truth: str
    scored: Scored

    @property
    def right(self) -> bool:
        """Whether the model's label is the true one."""
        return self.scored.label == self.truth


def prediction_of(case: Case) -> Json:
    """What the model server posts of a text."""
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
        "subject": subject_of(case.text),
    }


@dataclass(frozen=True, slots=True)
class Material:
    """The texts to stream by domain, the tweets first, and what the model says of its own."""

    cases: dict[str, list[Case]]
    training: list[Scored]


def prepare(cache_dir: Path, seed: int, console: Console) -> Material:
    """Fetch the texts, train the model on some tweets and score all the rest.

    Raises:
        DemoDataError: the texts could not be fetched, or are not the expected ones.
    """
    console.print(f"Texts and ratings: from {cache_dir} (fetched there on the first run) …")
    texts = load_texts(cache_dir)
    judged = [(text, truth) for text in texts if (truth := panel_label(text.ratings))]
    console.print(
        f"{len(texts):,} texts with {sum(len(text.ratings) for text in texts):,} ratings; "
        f"{len(texts) - len(judged):,} left out because their raters are tied."
    )
    started = time.perf_counter()
    training, streamed = _split(judged, seed)
    model = SentimentClassifier(
        [text.text for text, _ in training], [truth for _, truth in training], seed
    )
    cases = {domain: _scored(model, pairs) for domain, pairs in streamed.items()}
    own = model.score([text.text for text, _ in training])
    console.print(
        f"Model trained on {len(training):,} tweets, {sum(map(len, cases.values())):,} other texts "
        f"scored, in {time.perf_counter() - started:.1f} s."
    )
    return Material(cases, own)


def _split(
    judged: Sequence[tuple[Text, str]], seed: int
) -> tuple[list[tuple[Text, str]], dict[str, list[tuple[Text, str]]]]:
    streamed = {domain: [pair for pair in judged if pair[0].domain == domain] for domain in DOMAINS}
    tweets = streamed[TRAINING_DOMAIN]
    chosen, kept = split_for_training(len(tweets), TRAINING_SHARE, seed)
    streamed[TRAINING_DOMAIN] = [tweets[index] for index in kept]
    return [tweets[index] for index in chosen], streamed


def _scored(model: SentimentClassifier, pairs: Sequence[tuple[Text, str]]) -> list[Case]:
    scores = model.score([text.text for text, _ in pairs])
    return [Case(text, truth, scored) for (text, truth), scored in zip(pairs, scores, strict=True)]
