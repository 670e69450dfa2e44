"""Lists that people keep in two places, and that must say the same."""

import ast
import importlib
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.api import problems
from app.cli import settings_table
from app.core.errors import OverruleError
from app.settings import Settings
from tests.house.source import PROJECT, expect_none, modules, revisions, sentences, tracked_files

SETTINGS_TABLE = re.compile(r"<!-- settings -->\n(.*?)<!-- /settings -->", re.DOTALL)
METRIC_KINDS = {"Counter", "Gauge", "Histogram", "Summary", "Info"}
LOCKS = {
    "requirements.lock": [],
    "requirements-build.lock": ["build"],
    "requirements-dev.lock": ["build", "demo", "dev"],
}


@pytest.fixture(scope="module")
def error_classes() -> list[type[OverruleError]]:
    """Every error that the service's own modules define."""
    for module in modules():
        if not module.inside("app.dev", "app.cli"):
            importlib.import_module(module.name)
    return _below(OverruleError)


def test_every_error_says_what_it_means(error_classes: list[type[OverruleError]]) -> None:
    silent = [error.__name__ for error in error_classes if not error.__dict__.get("__doc__")]

    expect_none(silent, "the docstring of an error is the fact that it states")


def test_every_error_has_a_code_of_its_own(error_classes: list[type[OverruleError]]) -> None:
    without = [error.__name__ for error in error_classes if "code" not in error.__dict__]
    codes = [error.code for error in error_classes]

    shared = sorted({code for code in codes if codes.count(code) > 1})

    expect_none(without, "give it a `code`: programs tell errors apart by it")
    expect_none(shared, "two errors with one code cannot be told apart: rename one")


def test_every_error_has_a_status(error_classes: list[type[OverruleError]]) -> None:
    families = [family for family, _ in problems.STATUS]

    unmapped = [e.__name__ for e in error_classes if not issubclass(e, tuple(families))]
    hidden = [
        later.__name__
        for at, later in enumerate(families)
        if any(issubclass(later, earlier) for earlier in families[:at])
    ]

    expect_none(unmapped, "derive it from a family, or add its family to STATUS in problems.py")
    expect_none(hidden, "put the narrower family first in STATUS: the first that fits decides")


def test_every_metric_is_used() -> None:
    telemetry = next(module for module in modules() if module.name == "app.telemetry")
    metrics = {
        target.id
        for node in telemetry.tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id in METRIC_KINDS
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    named = {
        node.id if isinstance(node, ast.Name) else node.attr
        for module in modules()
        if module is not telemetry
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name | ast.Attribute)
    }

    assert metrics
    expect_none(metrics - named, "observe it where it happens, or take it off app/telemetry.py")


def test_the_readme_documents_the_settings() -> None:
    readme = (PROJECT / "README.md").read_text()

    table = SETTINGS_TABLE.search(readme)

    assert table is not None, "put <!-- settings --> and <!-- /settings --> into README.md"
    assert table[1].strip() == settings_table(), (
        "put what `overrule settings` prints between the markers in README.md"
    )


def test_every_setting_is_used() -> None:
    read = {
        node.attr
        for module in modules()
        if module.name != "app.settings"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
    }

    expect_none(set(Settings.model_fields) - read, "obey it, or take it off app/settings.py")


def test_every_variable_that_is_mentioned_is_a_setting() -> None:
    known = {f"OVERRULE_{name.upper()}" for name in Settings.model_fields}

    unknown = sorted(
        f"{path.relative_to(PROJECT)} {name}"
        for path in tracked_files()
        if path.suffix in {".md", ".yaml", ".py", ".toml"} or path.name == "Dockerfile"
        for name in set(re.findall(r"\bOVERRULE_[A-Z][A-Z_]*[A-Z]\b", path.read_text())) - known
    )

    expect_none(unknown, "app/settings.py has no such field: mend the name")


def test_migrations_are_numbered_and_follow_each_other() -> None:
    numbers = [_assigned(revision.tree, "revision") for revision in revisions()]
    parents = [_assigned(revision.tree, "down_revision") for revision in revisions()]
    names = [revision.path.name for revision in revisions()]

    assert numbers == [f"{n:04}" for n in range(1, len(names) + 1)], "number them without a gap"
    assert parents == [None, *numbers[:-1]], "down_revision is the number before it: one line"
    for number, name in zip(numbers, names, strict=True):
        assert re.fullmatch(rf"{number}_[a-z0-9_]+\.py", name), f"name {name} {number}_words.py"


def test_a_migration_changes_the_schema_or_fills_rows_but_not_both() -> None:
    schema = re.compile(r"^\s*(CREATE|ALTER|DROP)\s", re.MULTILINE)
    rows = re.compile(r"^\s*(INSERT|UPDATE|DELETE)\s", re.MULTILINE)

    mixed = [
        revision.place(revision.tree)
        for revision in revisions()
        if (text := "\n".join(text for _, text in sentences(revision)))
        and schema.search(text)
        and rows.search(text)
    ]

    expect_none(mixed, "backfill in a revision of its own: it must not hold the schema's locks")


def test_migrations_set_their_limits() -> None:
    environment = (PROJECT / "migrations" / "env.py").read_text()

    for limit in ("lock_timeout", "statement_timeout", "pg_advisory_xact_lock"):
        assert limit in environment, f"set {limit} in migrations/env.py before revisions run"


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_hold_what_the_project_asks_for(lock: str) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    asked = [] if lock == "requirements-build.lock" else project["project"]["dependencies"]
    for group in LOCKS[lock]:
        asked = [*asked, *project["dependency-groups"][group]]
    pinned = {canonicalize_name(pin.name): pin for pin in _pins(lock)}

    missing = [
        line
        for line in asked
        if (pin := pinned.get(canonicalize_name(Requirement(line).name))) is None
        or not Requirement(line).specifier.contains(str(pin.specifier).removeprefix("=="))
    ]

    expect_none(missing, "run `make lock`")


def test_locks_agree_on_versions() -> None:
    everything = {str(pin) for pin in _pins("requirements-dev.lock")}

    for smaller in ("requirements.lock", "requirements-build.lock"):
        assert {str(pin) for pin in _pins(smaller)} <= everything, "run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes_and_no_address(lock: str) -> None:
    text = (PROJECT / lock).read_text()
    entries = re.split(r"\n(?=\S)", text.partition("make lock\n")[2])

    assert all("--hash=sha256:" in entry for entry in entries), "run `make lock`"
    assert "://" not in text, "an index is the user's own choice: run `make lock`"


def _below(parent: type[OverruleError]) -> list[type[OverruleError]]:
    return [found for child in parent.__subclasses__() for found in (child, *_below(child))]


def _assigned(tree: ast.Module, name: str) -> object:
    """The constant that a module assigns to a name."""
    return next(
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and [target.id for target in node.targets if isinstance(target, ast.Name)] == [name]
        and isinstance(node.value, ast.Constant)
    )


def _pins(lock: str) -> list[Requirement]:
    lines = (PROJECT / lock).read_text().splitlines()
    return [Requirement(line.rstrip(" \\")) for line in lines if re.match(r"[A-Za-z0-9]", line)]
