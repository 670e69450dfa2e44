"""Files stay short, packages say what they are for, and nothing lies about unused."""

import ast
import tomllib

from tests.house.source import PROJECT, Module, expect_none, imports, modules, sentences

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400

type_of_function = ast.FunctionDef | ast.AsyncFunctionDef


def test_every_package_has_a_charter() -> None:
    folders = {path.parent for path in (PROJECT / "app").rglob("*.py")}
    packages = {module.path.parent: module for module in modules() if module.is_package}

    unmarked = [str(folder.relative_to(PROJECT)) for folder in folders if folder not in packages]
    silent = [m.place(m.tree) for m in packages.values() if not ast.get_docstring(m.tree)]

    expect_none(unmarked, "add an __init__.py whose docstring says what belongs in the package")
    expect_none(silent, "say in the package's docstring what belongs in it and what does not")


def test_files_are_short() -> None:
    lengths = {module.place(module.tree): len(module.text.splitlines()) for module in modules()}

    long = {place: lines for place, lines in lengths.items() if lines > FILE_LINES_MAX}

    expect_none(long.items(), f"split at a seam: a file has at most {FILE_LINES_MAX} lines")


def test_functions_are_short() -> None:
    long = {
        f"{module.place(node)} {node.name}": lines
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, type_of_function) and (lines := _lines(node)) > FUNCTION_LINES_MAX
    }

    expect_none(
        long.items(),
        f"take leaves out into functions of their own: at most {FUNCTION_LINES_MAX} lines, "
        "docstring not counted",
    )


def test_every_module_is_used() -> None:
    entry_points = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]
    used = {target.partition(":")[0] for target in entry_points.values()}
    for module in modules():
        used |= _mentioned(module) - {module.name}

    dead = [
        module.place(module.tree)
        for module in modules()
        if not any(name == module.name or name.startswith(f"{module.name}.") for name in used)
    ]

    expect_none(dead, "delete the file, or import it where it is needed")


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    last = function.end_lineno or function.lineno
    if ast.get_docstring(function) is None:
        return last - function.lineno + 1
    docstring = function.body[0]
    said = (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return last - function.lineno + 1 - said


def _mentioned(module: Module) -> set[str]:
    """Modules that it imports, or names in a string for somebody else to load (`app.main:create`)."""
    named = {text.partition(":")[0] for _, text in sentences(module) if text.startswith("app.")}
    return named | {name for _, name in imports(module)}
