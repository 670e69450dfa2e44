"""The command `overrule`."""

import asyncio
import json
import logging
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app import __version__
from app.core.access import Scope
from app.core.errors import DatabaseUnavailable, OverruleError
from app.core.routing.verify import verify
from app.flows import projects
from app.flows.context import Context
from app.settings import Settings
from app.store.embedded import EmbeddedPostgresError, database
from app.store.engine import Database
from app.store.migrations import migrate
from app.telemetry import configure_logging
from app.worker import loops

T = TypeVar("T")

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Decides whether a prediction may stand or a human must see it first.",
)
keys_cli = typer.Typer(no_args_is_help=True, help="Make, list and end keys.")
cli.add_typer(keys_cli, name="keys")


@keys_cli.callback()
def keys_quietly() -> None:
    """Make, list and end keys."""
    # lines about migrations would stand between the key and whoever is to copy it
    logging.getLogger("alembic").setLevel(logging.WARNING)


DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the embedded database; used when OVERRULE_DATABASE_URL is unset."),
]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
OPENAPI_FILE = Path("openapi/openapi.json")


def main() -> None:
    """Run a command; what went wrong is said in a sentence."""
    try:
        cli()
    except DatabaseUnavailable as error:
        _fail(f"The database cannot be reached: {error.__cause__}.")
    except (EmbeddedPostgresError, OverruleError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.")


@cli.command("serve")
def serve_command(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: DataDir = None,
    worker: Annotated[bool, typer.Option(help="Start a worker as a child process.")] = True,
) -> None:
    """Start the API, its worker and, without OVERRULE_DATABASE_URL, a PostgreSQL of its own."""
    # the worker and the commands start in half the time without the web framework
    from app.serving import ListenError, serve  # noqa: PLC0415

    try:
        serve(_settings(host=host, port=port, data_dir=data_dir), with_worker=worker)
    except ListenError as error:
        _fail(str(error))


@cli.command("worker")
def worker_command(
    data_dir: DataDir = None,
    while_stdin: Annotated[
        bool, typer.Option("--while-stdin", hidden=True, help="Stop when standard input ends.")
    ] = False,
) -> None:
    """Do the background work; any number of workers may run."""
    settings = _settings(data_dir=data_dir)
    with database(settings) as (url, _):
        asyncio.run(_work(url, settings, while_stdin))


@cli.command("migrate")
def migrate_command(data_dir: DataDir = None) -> None:
    """Bring the database to the newest schema and make the partitions ahead."""
    settings = _settings(data_dir=data_dir)

    async def run(ctx: Context, url: str) -> None:
        await migrate(settings.migrate_url or url, ctx.db)

    _with_context(settings, run)
    print("The database is at the newest schema.")  # noqa: T201


@keys_cli.command("create")
def create_key(  # noqa: PLR0917 - the command line knows them by name
    name: Annotated[str, typer.Option(help="To tell keys apart.")],
    scope: Annotated[list[Scope], typer.Option(help="What it allows; may be given several times.")],
    project: Annotated[
        str | None, typer.Option(help="Its project, made when it is not there; none for admin.")
    ] = None,
    expires_at: Annotated[
        datetime | None, typer.Option(help="When it ends by itself, UTC.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a key; its text is shown this once."""

    async def run(ctx: Context, _: str) -> projects.NewKey:
        return await projects.create_key(
            ctx,
            "overrule keys",
            project=project,
            name=name,
            scopes=scope,
            expires_at=expires_at.replace(tzinfo=UTC) if expires_at is not None else None,
            make_project=True,
        )

    new = _with_context(_settings(data_dir=data_dir), run)
    shown = {
        "id": str(new.key.id),
        "project": new.key.project,
        "key": new.text,
        "scopes": [scope.value for scope in new.key.scopes],
    }
    print(json.dumps(shown) if as_json else new.text)  # noqa: T201


@keys_cli.command("list")
def list_keys(
    project: Annotated[str | None, typer.Option(help="Only of this project.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List keys; their texts are not stored."""

    async def run(ctx: Context, _: str) -> list[Any]:
        found: list[Any] = []
        while page := await projects.list_keys(ctx, found[-1].id if found else None, 100, project):
            found += page
        return found

    keys = _with_context(_settings(data_dir=data_dir), run)
    rows = [
        {
            "id": str(key.id),
            "project": key.project,
            "name": key.name,
            "scopes": [scope.value for scope in key.scopes],
            "expires_at": key.expires_at.isoformat() if key.expires_at else None,
            "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
        }
        for key in keys
    ]
    if as_json:
        print(json.dumps(rows))  # noqa: T201
        return
    _print_table(rows)


@keys_cli.command("revoke")
def revoke_key(key_id: uuid.UUID, data_dir: DataDir = None) -> None:
    """End a key, by its id."""

    async def run(ctx: Context, _: str) -> None:
        await projects.revoke_key(ctx, "overrule keys", key_id)

    _with_context(_settings(data_dir=data_dir), run)
    print("Revoked; every replica refuses it within a second.")  # noqa: T201


@cli.command("openapi")
def openapi_command(
    check: Annotated[bool, typer.Option("--check", help="Only compare with the file.")] = False,
    output: Annotated[Path, typer.Option(help="The file.")] = OPENAPI_FILE,
) -> None:
    """Write the OpenAPI document, or check that the written one is what the code says."""
    from app.main import build  # noqa: PLC0415 - as above

    settings = _settings()
    ctx = Context.over(Database("postgresql://localhost/none", settings), settings)
    text = json.dumps(build(ctx).openapi(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if not check:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text)
        print(f"Wrote {output}.")  # noqa: T201
    elif not output.exists() or output.read_text() != text:
        _fail(f"{output} is not what the code says; run `overrule openapi`.")


@cli.command("settings")
def settings_command() -> None:
    """Print the settings as a Markdown table."""
    print(settings_table())  # noqa: T201


@cli.command("demo")
def demo_command(
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file.")
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="Folder for the demo's own database.")] = Path(
        ".overrule-demo"
    ),
    cache_dir: Annotated[Path, typer.Option(help="Folder for the texts, fetched once.")] = Path(
        ".cache/overrule-demo"
    ),
) -> None:
    """Run the main job on real texts: predict, review, audit, and see what came out."""
    from app.dev.demo import main as demo  # noqa: PLC0415 - scikit-learn is an optional extra

    sys.exit(demo.main(json_path=json_path, data_dir=data_dir, cache_dir=cache_dir))


@cli.command("bench")
def bench_command(
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file.")
    ] = None,
    case: Annotated[list[str] | None, typer.Option(help="Only these cases.")] = None,
    seconds: Annotated[float, typer.Option(help="Seconds of each measurement.")] = 3.0,
    decisions: Annotated[int, typer.Option(help="How many `--case growth` loads.")] = 5_000_000,
    assignments: Annotated[
        int, typer.Option(help="How many of them ask a human, and are still open.")
    ] = 500_000,
) -> None:
    """Measure this machine: every figure beside a baseline of the same run.

    The case `growth` loads the database first, which takes long, so it runs only when it is named.
    """
    from app.dev.bench import main as bench  # noqa: PLC0415 - servers have no use for it

    sys.exit(
        bench.main(
            json_path=json_path,
            cases=case,
            seconds=seconds,
            decisions=decisions,
            assignments=assignments,
        )
    )


@cli.command("verify")
def verify_command(
    receipt: Annotated[Path, typer.Argument(help="File with a receipt, as it was served.")],
    as_json: AsJson = False,
) -> None:
    """Check a decision's receipt, offline; the exit code is 0 when it holds and 1 when not."""
    found = verify(receipt.read_bytes())
    text = msgspec.json.encode(found).decode() if as_json else "\n".join(found.sentences())
    print(text)  # noqa: T201
    sys.exit(0 if found.valid else 1)


@cli.command("version")
def version_command() -> None:
    """Print the version."""
    print(__version__)  # noqa: T201


def settings_table() -> str:
    """All settings as a Markdown table."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        lines.append(f"| `OVERRULE_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines)


def _settings(**given: Any) -> Settings:
    """Settings of the environment, with what was given on the command line."""
    given = {name: value for name, value in given.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        _fail("\n".join(_complaint(wrong, given) for wrong in error.errors()))
    configure_logging(settings.log_level)
    return settings


def _complaint(wrong: ErrorDetails, given: dict[str, Any]) -> str:
    """What is wrong with one setting; its value is not quoted, it may hold a password."""
    name = str(wrong["loc"][0]).lower()
    shown = f"--{name.replace('_', '-')}" if name in given else f"OVERRULE_{name.upper()}"
    return f"{shown}: {wrong['msg']}."


def _with_context(settings: Settings, run: Callable[[Context, str], Awaitable[T]]) -> T:
    """Run one piece of work against the database, migrated before."""

    async def go(url: str) -> T:
        db = Database(url, settings)
        try:
            await migrate(settings.migrate_url or url, db)
            return await run(Context.over(db, settings), url)
        finally:
            await db.close()

    new = settings.database_url is None and not (settings.data_dir / "pg" / "PG_VERSION").exists()
    with database(settings) as (url, _):
        if new:
            # perhaps the folder was misspelt: then nothing of what was there is here
            print(f"Made a new database in {settings.data_dir}.", file=sys.stderr)  # noqa: T201
        return asyncio.run(go(url))


async def _work(url: str, settings: Settings, while_stdin: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if while_stdin:
        loop.add_reader(sys.stdin.fileno(), stop.set)
    db = Database(url, settings)
    try:
        await loops.run(Context.over(db, settings), stop)
    finally:
        await db.close()


def _print_table(rows: list[dict[str, Any]]) -> None:
    """Columns as wide as what is in them: an id that is cut off revokes nothing."""
    if not rows:
        print("No keys.")  # noqa: T201
        return
    table = [list(rows[0]), *([_cell(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        print(line.rstrip())  # noqa: T201


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value or "")


def _fail(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)  # noqa: T201
    sys.exit(1)


if __name__ == "__main__":
    main()
