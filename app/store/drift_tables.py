"""The tables of drift, as `tables.py` has the others."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    FetchedValue,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.store.tables import metadata

detectors = Table(
    "detectors",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=FetchedValue()),
    Column("training", LargeBinary),
    Column("source", JSONB, nullable=False),
    Column("digest", LargeBinary),
    Column("fitted", LargeBinary),
    Column("summary", JSONB),
    Column("job_id", Uuid, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
    Column("created_by", Text, nullable=False),
    Column("ready_at", DateTime(timezone=True)),
)

drift_references = Table(
    "drift_references",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("model_version", Text),
    Column("segment", Text),
    Column("detector_id", Uuid),
    Column("predictions", BigInteger, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("source", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
    Column("created_by", Text, nullable=False),
)

monitored_models = Table(
    "monitored_models",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("bucket_s", Integer, nullable=False),
    Column("grace_s", Integer, nullable=False),
    Column("lengths", ARRAY(Integer), nullable=False),
    Column("first_open", BigInteger, nullable=False),
    Column("closing", BigInteger),
    Column("closing_after", BigInteger),
    Column("closing_since", DateTime(timezone=True)),
)

monitors = Table(
    "monitors",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("signal", Text, nullable=False),
    Column("reference_id", Uuid),
    Column("settings", JSONB, nullable=False),
    Column("muted_until", DateTime(timezone=True)),
    Column("acknowledged_at", DateTime(timezone=True)),
    Column("acknowledged_by", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
)

stream_counts = Table(
    "stream_counts",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("reference_id", Uuid, primary_key=True),
    Column("model_version", Text, primary_key=True),
    Column("segment", Text, primary_key=True),
    Column("bucket", BigInteger, primary_key=True),
    Column("predictions", BigInteger, nullable=False),
    Column("late", BigInteger, nullable=False),
    Column("moved", BigInteger, nullable=False),
    Column("counts", ARRAY(Integer), nullable=False),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("monitor_id", Uuid, nullable=False),
    Column("reference_id", Uuid),
    Column("model_version", Text, nullable=False),
    Column("segment", Text, nullable=False),
    Column("first_bucket", BigInteger, nullable=False),
    Column("last_bucket", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("results", JSONB, nullable=False),
    Column("evaluated_at", DateTime(timezone=True), nullable=False, server_default=FetchedValue()),
)

monitor_states = Table(
    "monitor_states",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("monitor_id", Uuid, primary_key=True),
    Column("model_version", Text, primary_key=True),
    Column("segment", Text, primary_key=True),
    Column("length", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("track", JSONB, nullable=False),
    Column("evaluation_id", Uuid, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
)
