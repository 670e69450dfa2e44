"""The model under review: a real sentiment classifier, trained on part of the tweets.

TF-IDF of words and of character n-grams, then logistic regression. It is good on the tweets that
it has not seen, and worse the further the texts are from tweets, which is what the demo is about.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_union
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # it has no types

if TYPE_CHECKING:
    from collections.abc import Sequence

EMBEDDING_DIMENSIONS = 16
SCORE_DECIMALS = 4

# Inverse regularisation strength. At 3 the mean confidence on unseen tweets (0.74) equals the
# accuracy there, so the probabilities mean what they say, on tweets.
_REGULARISATION_C = 3.0
_WORD = re.compile(r"[a-z']+")
_WORD_OR_MARK = r"(?u)\b\w\w+\b|[:;=][-']?[()DPp/|]|[!?]+"


@dataclass(frozen=True, slots=True)
class Scored:
    """What the model says of one text. The scores are probabilities."""

    label: str
    scores: dict[str, float]
    features: dict[str, float]
    embedding: list[float]


class SentimentClassifier:
    """Fitted on construction; the same texts, labels and seed give the same model."""

    def __init__(self, texts: Sequence[str], labels: Sequence[str], seed: int) -> None:
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORD_OR_MARK)
        characters = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2
        )
        self._vectorizer = make_union(words, characters)
        self._classifier = LogisticRegression(C=_REGULARISATION_C, max_iter=500)
        with _one_thread():
            vectors = self._vectorizer.fit_transform(texts)
            self._classifier.fit(vectors, labels)
            self._embedder = TruncatedSVD(EMBEDDING_DIMENSIONS, random_state=seed).fit(vectors)
        self._vocabulary = frozenset(word for text in texts for word in _words(text))

    def score(self, texts: Sequence[str]) -> list[Scored]:
        """Label, probabilities, features and embedding of each text, in order."""
        with _one_thread():
            vectors = self._vectorizer.transform(texts)
            probabilities = self._classifier.predict_proba(vectors).round(SCORE_DECIMALS).tolist()
            embeddings = self._embedder.transform(vectors).round(SCORE_DECIMALS).tolist()
        rows = zip(texts, probabilities, embeddings, strict=True)
        return [self._scored(text, row, embedding) for text, row, embedding in rows]

    def _scored(self, text: str, probabilities: list[float], embedding: list[float]) -> Scored:
        labels: Any = self._classifier.classes_
        scores = {str(label): p for label, p in zip(labels, probabilities, strict=True)}
        label = max(scores, key=lambda name: scores[name])
        return Scored(label, scores, self._features(text), embedding)

    def _features(self, text: str) -> dict[str, float]:
        words = _words(text)
        unknown = sum(word not in self._vocabulary for word in words)
        return {
            "n_tokens": len(words),
            # A text without a single word is as unfamiliar as can be.
            "oov_share": round(unknown / len(words), SCORE_DECIMALS) if words else 1.0,
            "exclamations": text.count("!"),
            "has_url": int("http" in text),
        }


def split_for_training(count: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Positions to train on and positions to keep, both in ascending order."""
    chosen = random.Random(seed).sample(range(count), round(count * share))  # noqa: S311 - a split
    kept = sorted(set(range(count)) - set(chosen))
    return sorted(chosen), kept


def _one_thread() -> Any:
    """The matrices are small: more threads wait for each other, and double the processor time."""
    return threadpool_limits(limits=1)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
