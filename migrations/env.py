"""Runs revisions: one migrator at a time, and never waiting long for a lock.

A statement that cannot get its lock within lock_timeout fails and can be tried again; a queue of
readers behind a waiting ALTER TABLE would be an outage. The advisory lock is of the transaction
(not the session), so that it also holds behind a pooler in transaction mode.
"""

from alembic import context
from sqlalchemy import Connection, text

# any fixed number: it only has to differ from other applications' advisory locks
MIGRATION_LOCK = 7_205_759_403


def run(connection: Connection) -> None:
    context.configure(connection=connection, transaction_per_migration=False)
    with context.begin_transaction():
        connection.execute(text("SET LOCAL statement_timeout = '10min'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        context.run_migrations()


run(context.config.attributes["connection"])
