"""The demo's model, on a handful of sentences."""

import pytest

from app.dev.demo.classifier import EMBEDDING_DIMENSIONS, SentimentClassifier, split_for_training

GOOD = [
    f"I love this {thing}, it is great!"
    for thing in ("film", "song", "day", "phone", "cat", "book")
]
BAD = [
    f"I hate that {thing}, it is awful."
    for thing in ("film", "song", "day", "phone", "cat", "book")
]
PLAIN = [
    f"The {thing} is on the table" for thing in ("film", "song", "day", "phone", "cat", "book")
]
TEXTS = GOOD + BAD + PLAIN
LABELS = ["positive"] * 6 + ["negative"] * 6 + ["neutral"] * 6


@pytest.fixture(scope="module")
def model() -> SentimentClassifier:
    return SentimentClassifier(TEXTS, LABELS, seed=7)


def test_it_learns_what_it_was_shown(model: SentimentClassifier) -> None:
    scored = model.score(["I love this car, it is great!", "I hate that car, it is awful."])

    assert [row.label for row in scored] == ["positive", "negative"]


def test_scores_are_probabilities_of_the_three_labels_and_the_label_is_their_top(
    model: SentimentClassifier,
) -> None:
    scored = model.score(["the film is great", "awful", "!!!", "…"])

    for row in scored:
        assert set(row.scores) == {"negative", "neutral", "positive"}
        assert sum(row.scores.values()) == pytest.approx(1, abs=1e-3)
        assert row.scores[row.label] == max(row.scores.values())
        assert len(row.embedding) == EMBEDDING_DIMENSIONS


def test_features_say_how_long_and_how_unfamiliar_a_text_is(model: SentimentClassifier) -> None:
    familiar, half, wordless = model.score(["I love this film", "I love quinoa http!", "12 !!"])

    assert familiar.features == {"n_tokens": 4, "oov_share": 0, "exclamations": 0, "has_url": 0}
    assert half.features == {"n_tokens": 4, "oov_share": 0.5, "exclamations": 1, "has_url": 1}
    assert wordless.features["oov_share"] == 1


def test_the_same_seed_gives_the_same_model(model: SentimentClassifier) -> None:
    again = SentimentClassifier(TEXTS, LABELS, seed=7)

    assert again.score(TEXTS) == model.score(TEXTS)


def test_training_and_streamed_texts_share_none_and_leave_none_out() -> None:
    chosen, kept = split_for_training(101, share=0.5, seed=7)

    assert sorted(chosen + kept) == list(range(101))
    assert len(chosen) == 50
    assert chosen == sorted(chosen)
    assert kept == sorted(kept)
