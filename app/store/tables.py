"""The tables as SQLAlchemy Core sees them: what cold statements name.

Constraints, indexes and defaults stand in the revisions under `migrations/`, with their reasons; a
test compares the columns and primary keys here with those of a migrated database.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    FetchedValue,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

projects = Table(
    "projects",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("project_id", Uuid),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
)

change_log = Table(
    "change_log",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("project_id", Uuid),
    Column("at", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("before", JSONB),
    Column("after", JSONB),
)

policy_versions = Table(
    "policy_versions",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False, server_default=FetchedValue()),
    Column("model", Text, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
    Column("created_by", Text, nullable=False),
    Column("activated_at", DateTime(timezone=True)),
    Column("gone_back_from", Boolean, nullable=False, server_default=FetchedValue()),
)

decisions = Table(
    "decisions",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("request_key", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("label", Text),
    Column("confidence", Double),
    Column("route", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("queue", Text),
    Column("priority", SmallInteger, nullable=False),
    Column("policy_id", Uuid),
    Column("trace", Text, nullable=False),
    Column("monitors", Text),
    Column("audited", Boolean, nullable=False),
    Column("audit_probability", Double),
    Column("audit_draw", Double),
    Column("inclusion_probability", Double, nullable=False),
    Column("stratum", Text, nullable=False),
    Column("item_id", Uuid),
    Column("shadow", Boolean, nullable=False),
    Column("input_key", Text),
    Column("digest", LargeBinary, nullable=False),
    Column("decided_at", DateTime(timezone=True), nullable=False),
    Column("prediction", Text, nullable=False),
    Column("embedding", LargeBinary),
    Column("beside_policy_id", Uuid),
    Column("beside_route", Text),
    Column("beside_reason", Text),
    Column("unfamiliar_p", Double),
    Column("unfamiliar_score", Double),
    Column("detector_id", Uuid),
    Column("bucket", BigInteger),
    Column("late", Boolean),
    Column("watched", LargeBinary),
    Column("cells", LargeBinary),
    postgresql_partition_by="RANGE (id)",
)

request_keys = Table(
    "request_keys",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("request_key", Text, primary_key=True),
    Column("decision_id", Uuid, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)

inbox = Table(
    "inbox",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("counts", JSONB, nullable=False),
    Column("streams", JSONB),
)

decision_counts = Table(
    "decision_counts",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("hour", DateTime(timezone=True), primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("model", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("segment", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("stratum", Text, nullable=False),
    Column("shadow", Boolean, nullable=False),
    Column("decisions", BigInteger, nullable=False),
    Column("audited", BigInteger, nullable=False),
)

queues = Table(
    "queues",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("blind", Boolean, nullable=False, server_default=FetchedValue()),
    Column("judge", Text, nullable=False, server_default=FetchedValue()),
    Column("lease_s", Integer, nullable=False, server_default=FetchedValue()),
    Column("lease_s_max", Integer, nullable=False, server_default=FetchedValue()),
    Column("extensions_max", Integer, nullable=False, server_default=FetchedValue()),
    Column("due_s", Integer, nullable=False, server_default=FetchedValue()),
    Column("guidelines", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
)

reviewers = Table(
    "reviewers",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
    Column("claimed_at", DateTime(timezone=True)),
)

items = Table(
    "items",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=FetchedValue()),
    Column("queue_id", Uuid, nullable=False),
    Column("decision_id", Uuid),
    Column("policy_id", Uuid),
    Column("model", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("label", Text),
    Column("confidence", Double),
    Column("scores", JSONB),
    Column("features", JSONB),
    Column("segment", JSONB),
    Column("route", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("inclusion_probability", Double, nullable=False),
    Column("stratum", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("blind", Boolean, nullable=False),
    Column("blocking", Boolean, nullable=False),
    Column("verdicts_needed", SmallInteger, nullable=False, server_default=FetchedValue()),
    Column("risk", Double),
    Column("context_key", Text),
    Column("input_key", Text),
    Column("subject", JSONB),
    Column("decided_at", DateTime(timezone=True), nullable=False),
    Column("queued_at", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
    Column("due_at", DateTime(timezone=True), nullable=False),
    Column("settled_at", DateTime(timezone=True)),
)

assignments = Table(
    "assignments",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("item_id", Uuid, nullable=False),
    Column("queue_id", Uuid, nullable=False),
    Column("slot", SmallInteger, nullable=False, server_default=FetchedValue()),
    Column("rank", BigInteger, nullable=False),
    Column("state", Text, nullable=False, server_default=FetchedValue()),
    Column("reviewer", Text),
    Column("token", BigInteger, nullable=False, server_default=FetchedValue()),
    Column("leased_at", DateTime(timezone=True)),
    Column("lease_until", DateTime(timezone=True)),
    Column("extensions", SmallInteger, nullable=False, server_default=FetchedValue()),
    Column("submitted_at", DateTime(timezone=True)),
    Column("skipped_by", ARRAY(Text), nullable=False, server_default=FetchedValue()),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("item_id", Uuid, nullable=False),
    Column("assignment_id", Uuid, nullable=False),
    Column("revision", SmallInteger, nullable=False, server_default=FetchedValue()),
    Column("token", BigInteger, nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("label", Text),
    Column("seconds_spent", Double),
    Column("seconds_leased", Double, nullable=False),
    Column("comment", Text),
    Column("source", Text),
    Column("digest", LargeBinary, nullable=False),
    Column("submitted_at", DateTime(timezone=True), nullable=False),
)

resolutions = Table(
    "resolutions",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("item_id", Uuid, primary_key=True),
    Column("revision", SmallInteger, primary_key=True, server_default=FetchedValue()),
    Column("outcome", Text, nullable=False),
    Column("label", Text),
    Column("agreed", Boolean),
    Column("judge", Text, nullable=False),
    Column("blind", Boolean, nullable=False),
    Column("resolved_at", DateTime(timezone=True), nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("type", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
)

jobs = Table(
    "jobs",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("arguments", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default=FetchedValue()),
    Column("done", BigInteger, nullable=False, server_default=FetchedValue()),
    Column("total", BigInteger),
    Column("result", JSONB),
    Column("problem", JSONB),
    Column("attempts", Integer, nullable=False, server_default=FetchedValue()),
    Column("run_after", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
    Column("lease_until", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
    Column("created_by", Text, nullable=False),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
)
