"""Fetch and read the texts and their human ratings.

The data is that of Hutto & Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis
of Social Media Text", ICWSM 2014. It travels inside the source distribution of the MIT-licensed
package vaderSentiment. Nothing of it is kept in this repository: it is downloaded once into a
cache and checked against the hash below before anything is read.
"""

from __future__ import annotations

import hashlib
import html
import io
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

SDIST_NAME = "vaderSentiment-3.3.2.tar.gz"
SDIST_REQUIREMENT = "vaderSentiment==3.3.2"
SDIST_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
DEFAULT_CACHE_DIR = Path(".cache/overrule-demo")
DOWNLOAD_TIMEOUT_S = 300

# Our short name of each domain, and the stem of its two files; in the order of the demo.
DOMAINS = {
    "tweets": "tweets",
    "amazon": "amazonReviewSnippets",
    "nyt": "nytEditorialSnippets",
    "films": "movieReviewSnippets",
}
_INNER_ARCHIVE = "additional_resources/hutto_ICWSM_2014.tar.gz"
_RATING_LIMIT = 4
_TEXT_COLUMNS = 3  # id, mean rating, text
_RATING_COLUMNS = 4  # id, mean rating, standard deviation, list of ratings


class DemoDataError(Exception):
    """The texts could not be fetched, or are not what they were when this was written."""


@dataclass(frozen=True, slots=True)
class Text:
    """One text with every rating that people gave it, from -4 (worst) to +4 (best)."""

    id: str
    domain: str
    text: str
    ratings: tuple[int, ...]


def load_texts(cache_dir: Path = DEFAULT_CACHE_DIR) -> list[Text]:
    """All the texts, domain by domain in the order of `DOMAINS`; downloads on the first call.

    Raises:
        DemoDataError: no pip could be found or it failed, or the data is not the expected one.
    """
    return parse_texts(_cached_sdist(cache_dir).read_bytes())


def parse_texts(sdist: bytes) -> list[Text]:
    """Read the texts out of the source distribution's bytes, without unpacking it to disk.

    Raises:
        DemoDataError: a file is missing, or a line does not have the documented form.
    """
    inner = _member(sdist, _INNER_ARCHIVE)
    texts: list[Text] = []
    for domain, stem in DOMAINS.items():
        ratings = _ratings_by_id(_lines(_member(inner, f"{stem}_anonDataRatings.txt")))
        for line in _lines(_member(inner, f"{stem}_GroundTruth.txt")):
            row_id, _, text = _columns(line, _TEXT_COLUMNS)
            if row_id not in ratings:
                raise DemoDataError(f"{domain}: text {row_id} has no ratings")
            texts.append(Text(f"{domain}/{row_id}", domain, _plain(text), ratings[row_id]))
    return texts


def _member(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for info in tar:
            # Copies made on a Mac carry a "._" twin of every file.
            found = info.name == name or info.name.endswith(f"/{name}")
            content = tar.extractfile(info) if found else None
            if content is not None:
                return content.read()
    raise DemoDataError(f"the archive holds no {name}")


def _lines(content: bytes) -> list[str]:
    # Two of the rating files begin with a byte order mark. Lines end with CRLF, and only there:
    # str.splitlines would also split at characters inside a text.
    rows = content.decode("utf-8-sig").split("\n")
    return [row.removesuffix("\r") for row in rows if row.strip()]


def _columns(line: str, count: int) -> list[str]:
    columns = line.split("\t")
    if len(columns) != count:
        raise DemoDataError(f"expected {count} columns in: {line[:80]!r}")
    return columns


def _ratings_by_id(lines: list[str]) -> dict[str, tuple[int, ...]]:
    rows = (_columns(line, _RATING_COLUMNS) for line in lines)
    return {row_id: _ratings(raw) for row_id, _, _, raw in rows}


def _ratings(raw: str) -> tuple[int, ...]:
    try:
        ratings = tuple(
            int(part) for part in raw.strip().removeprefix("[").removesuffix("]").split(",")
        )
    except ValueError as error:
        raise DemoDataError(f"not a list of ratings: {raw[:80]!r}") from error
    if any(abs(rating) > _RATING_LIMIT for rating in ratings):
        raise DemoDataError(f"a rating lies outside -4 to +4: {raw[:80]!r}")
    return ratings


def _plain(text: str) -> str:
    # Some texts were escaped twice ("&amp;amp;"), so once is not enough.
    while (unescaped := html.unescape(text)) != text:
        text = unescaped
    return text.strip()


def _cached_sdist(cache_dir: Path) -> Path:
    path = cache_dir / SDIST_NAME
    if not path.is_file() or _sha256(path) != SDIST_SHA256:
        cache_dir.mkdir(parents=True, exist_ok=True)
        _download_sdist(cache_dir)
        if _sha256(path) != SDIST_SHA256:
            raise DemoDataError(f"{path} is not the expected file: its sha256 differs")
    return path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _download_sdist(cache_dir: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache_dir) as scratch:
        requirement = Path(scratch) / "requirement.txt"
        # pip runs the package's set-up to learn its metadata, but checks this hash before it.
        requirement.write_text(f"{SDIST_REQUIREMENT} --hash=sha256:{SDIST_SHA256}\n")
        pip = [*_pip(Path(scratch)), "download", "--quiet", "--no-deps", "--require-hashes"]
        only_source = ["--no-binary", "vaderSentiment", "--dest", scratch, "-r", str(requirement)]
        _checked_run([*pip, *only_source])
        (Path(scratch) / SDIST_NAME).replace(cache_dir / SDIST_NAME)


def _pip(scratch: Path) -> list[str]:
    """A command that is pip: this interpreter's, or else one in a throwaway environment.

    An environment that uv made has no pip; Python's own `venv` brings one along.
    """
    own = [sys.executable, "-m", "pip"]
    if _run([*own, "--version"]).returncode == 0:
        return own
    environment = scratch / "pip"
    _checked_run([sys.executable, "-m", "venv", str(environment)])
    return [str(environment / "bin" / "python"), "-m", "pip"]


def _checked_run(command: list[str]) -> None:
    done = _run(command)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-800:]
        raise DemoDataError(
            f"could not fetch {SDIST_REQUIREMENT}; {' '.join(command)} said:\n{said}"
        )


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - the words are ours, no shell is involved
            command, capture_output=True, text=True, check=False, timeout=DOWNLOAD_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise DemoDataError(
            f"no answer within {DOWNLOAD_TIMEOUT_S} s: {' '.join(command)}"
        ) from error
