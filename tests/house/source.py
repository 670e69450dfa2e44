"""The project's own source, parsed once, for the house rules."""

import ast
import functools
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Module:
    """One file of the package: `app.store.engine` in app/store/engine.py."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    def place(self, node: ast.AST) -> str:
        """Where a node stands, as editors understand it."""
        return f"{self.path.relative_to(PROJECT)}:{getattr(node, 'lineno', 1)}"

    def inside(self, *areas: str) -> bool:
        """Whether the module is one of `areas`, or lies in one."""
        return any(self.name == area or self.name.startswith(f"{area}.") for area in areas)


@functools.cache
def modules() -> list[Module]:
    """Every module of the package."""
    return [_parsed(path) for path in sorted((PROJECT / "app").rglob("*.py"))]


@functools.cache
def revisions() -> list[Module]:
    """Every migration, oldest first."""
    return [_parsed(path) for path in sorted((PROJECT / "migrations" / "versions").glob("*.py"))]


def imports(module: Module) -> Iterator[tuple[ast.stmt, str]]:
    """What a module imports, with the statement: `from app.api import text` gives both names."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=names):
                yield from ((node, alias.name) for alias in names)
            case ast.ImportFrom(module=str(source), names=names, level=0):
                yield node, source
                yield from ((node, f"{source}.{alias.name}") for alias in names)
            case _:
                pass


def sentences(module: Module) -> Iterator[tuple[ast.Constant, str]]:
    """The string constants that a program uses: all but docstrings."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documentation
        ):
            yield node, node.value


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute or a name; what it is called on is `?` where that has no name."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{dotted(value)}.{name}"
        case _:
            return "?"


def expect_none(found: Iterable[object], remedy: str) -> None:
    """Fail when anything was found: the whole list (pytest cuts it), and what to do about it."""
    lines = sorted(str(one) for one in found)
    assert not lines, "\n  ".join([f"{remedy}:", *lines])


@functools.cache
def tracked_files() -> list[Path]:
    """Every file that is, or would be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [PROJECT / name for name in listed.stdout.split("\0") if name]
    else:  # an unpacked archive has no history: then everything but what tools leave behind
        found = [path for path in PROJECT.rglob("*") if not _left_behind(path)]
    return [path for path in found if path.is_file()]


def _left_behind(path: Path) -> bool:
    ignored = {".venv", "__pycache__", "dist", ".cache", ".overrule", ".hypothesis", ".git"}
    parts = path.relative_to(PROJECT).parts
    return any(part in ignored or part.endswith("_cache") for part in parts)


def _parsed(path: Path) -> Module:
    text = path.read_text()
    name = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    return Module(name.removesuffix(".__init__"), path, text, ast.parse(text))
