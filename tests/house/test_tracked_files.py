"""What is committed works on anybody's machine, with anybody's package index."""

import re
from pathlib import Path

from tests.house.source import PROJECT, expect_none, tracked_files

# spelled so that this file passes its own test
HOSTS = ["pypi org", "pythonhosted org", "npmjs org", "deb debian org", "docker io", "ghcr io"]
FOLDERS = ["work", "root", "home", "Users", "tmp"]

HOST = re.compile("|".join(host.replace(" ", "[.]") for host in HOSTS))
# a folder of one machine: /usr and /var are the same everywhere
FOLDER = re.compile(rf"(?<![\w./~-])/({'|'.join(FOLDERS)})/\w")
BYTES_MAX = 1_000_000


def test_no_file_names_a_package_index_or_a_registry() -> None:
    found = [place for path in tracked_files() for place in _matches(HOST, path)]

    expect_none(found, "leave the address out: the user's own configuration has it")


def test_no_file_names_a_folder_of_one_machine() -> None:
    found = [place for path in tracked_files() for place in _matches(FOLDER, path)]

    expect_none(found, "use a path relative to the checkout, a setting, or a temporary folder")


def test_no_big_file_is_committed() -> None:
    big = [str(path) for path in tracked_files() if path.stat().st_size > BYTES_MAX]

    expect_none(big, "fetch or make it when it is needed: a checkout stays small")


def _matches(pattern: re.Pattern[str], path: Path) -> list[str]:
    lines = path.read_text(errors="replace").splitlines()
    name = path.relative_to(PROJECT)
    return [
        f"{name}:{at} {m[0]}" for at, line in enumerate(lines, 1) if (m := pattern.search(line))
    ]
