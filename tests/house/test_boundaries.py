"""What may be asked for only in one place."""

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement

from tests.house.source import PROJECT, Module, dotted, expect_none, imports, modules, sentences

# the demo and the bench play somebody outside and draw and measure as they need; only the bench
# talks to the database, to have something to compare the service with
OUTSIDE = ("app.dev",)
BENCH = "app.dev.bench"

CLOCK_AND_CHANCE = re.compile(
    r"(datetime\.|date\.)?(datetime|date)\.(now|utcnow|today)"
    r"|time\.(time|time_ns|localtime|gmtime)"
    r"|random\.\w+|secrets\.\w+|os\.urandom|uuid\.uuid\d|(np|numpy)\.random\.\w+"
)
MODULES_OF_CHANCE = {"random", "secrets"}
# a generator gives the same on every machine when it is made from a given seed
SEEDED = {"np.random.default_rng"}
SAME_EVERYWHERE = {"np.random.Generator", *SEEDED}

# the gatherer's `commit` is the promise of one, and goes through the engine itself
TRANSACTION = re.compile(
    r"\.(transaction|begin|begin_nested|rollback|commit)$(?<!gatherer\.commit)"
)

SQL_WORDS = re.compile(
    r"\b(SELECT\s|INSERT\s+INTO\s|DELETE\s+FROM\s|UPDATE\s+\w+\s+SET\s|CREATE\s+TABLE\s)"
)
# what a library is made of, and hands on: asking for the one is asking for the other
PARTS = {"fastapi": "starlette", "pydantic": "pydantic-core"}
DATABASE_LIBRARIES = {"sqlalchemy", "asyncpg", "alembic", "psycopg"}
# each call of now() in one transaction gives the time of its beginning: a lease would run early
FROZEN_CLOCKS = re.compile(r"\b(now\(\)|transaction_timestamp|current_timestamp)", re.IGNORECASE)


def test_clock_and_chance_are_asked_for_in_one_file() -> None:
    allowed = ("app.store.ids", *OUTSIDE)
    # the edge names a request that came without a name; nothing is decided by it
    edge = "app.api.edge"

    found = [
        f"{module.place(node)} {name}"
        for module in modules()
        if not module.inside(*allowed)
        for node, name in _asked_for(module)
        if not (module.name == edge and name == "uuid.uuid4")
    ]

    expect_none(found, "take the time, id or draw as an argument, or from app/store/ids.py")


def test_the_database_clock_is_the_statement_s() -> None:
    found = [
        f"{module.place(node)} {text.strip()[:60]!r}"
        for module in modules()
        if module.inside("app.store")
        for node, text in sentences(module)
        if FROZEN_CLOCKS.search(text)
    ]

    expect_none(found, "write coalesce($n, statement_timestamp()): tests set it, replicas agree")


def test_only_the_engine_begins_and_commits() -> None:
    found = [
        f"{module.place(node)} {name}()"
        for module in modules()
        if not module.inside("app.store.engine", BENCH)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and TRANSACTION.search(name := dotted(node.func))
    ]

    expect_none(
        found,
        "open `async with ctx.db.write() as tx` and return after it: an answer that is sent "
        "before its commit is a promise that may be broken",
    )


def test_sql_stands_in_the_store() -> None:
    found = [
        f"{module.place(node)} {text.strip()[:60]!r}"
        for module in modules()
        if not module.inside("app.store", BENCH)
        for node, text in sentences(module)
        if SQL_WORDS.search(text)
    ]

    expect_none(found, "ask a domain question of a function in app/store")


def test_database_libraries_are_imported_by_the_store() -> None:
    found = [
        f"{module.place(node)} {name}"
        for module in modules()
        if not module.inside("app.store", BENCH)
        for node, name in imports(module)
        if name.partition(".")[0] in DATABASE_LIBRARIES
    ]

    expect_none(found, "let app/store translate: its errors are in app/core/errors.py")


def test_only_settings_read_the_environment() -> None:
    # handing it on whole to a child process is not reading it
    found = [
        f"{module.place(node)} {name}"
        for module in modules()
        if not module.inside("app.settings", *OUTSIDE)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call | ast.Subscript)
        and (name := dotted(node.func if isinstance(node, ast.Call) else node.value))
        in {"os.environ", "os.environ.get", "os.getenv"}
    ]

    expect_none(found, "add a field to app/settings.py, with its unit and reason")


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    demo = project["dependency-groups"]["demo"]
    own = {"app", *sys.stdlib_module_names}

    undeclared = {
        f"{module.place(node)} {name.partition('.')[0]}"
        for module in modules()
        for node, name in imports(module)
        if (top := name.partition(".")[0]) not in own
        and not _declared(top, project["project"]["dependencies"])
        and not (module.inside("app.dev.demo") and _declared(top, demo))
    }

    expect_none(undeclared, "add it to the dependencies in pyproject.toml and run `make lock`")


def _asked_for(module: Module) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            name = dotted(node)
            if CLOCK_AND_CHANCE.fullmatch(name) and name not in SAME_EVERYWHERE:
                yield node, name
        if isinstance(node, ast.Call) and dotted(node.func) in SEEDED and not node.args:
            yield node, "a generator without a seed"
    for node, name in imports(module):
        if name.partition(".")[0] in MODULES_OF_CHANCE or CLOCK_AND_CHANCE.fullmatch(name):
            yield node, name


def _declared(top: str, requirements: list[str]) -> bool:
    """Whether a distribution that brings the import name `top` is among the requirements."""
    wanted = {_plain(Requirement(line).name) for line in requirements}
    wanted |= {PARTS[name] for name in wanted & PARTS.keys()}
    return any(_plain(name) in wanted for name in _distributions().get(top, [top]))


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
