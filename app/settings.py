"""Settings: the only reader of the environment.

Each is an environment variable `OVERRULE_<NAME>`; a unit stands in the name. The README's table is
printed from here (`overrule settings`).
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator may set; every default has a unit and a reason."""

    model_config = SettingsConfigDict(env_prefix="OVERRULE_", extra="ignore")

    database_url: str | None = Field(
        None,
        description="PostgreSQL 15 or later. Without it an embedded server keeps its data in "
        "OVERRULE_DATA_DIR.",
    )
    migrate_url: str | None = Field(
        None,
        description="Used instead of the above wherever the schema is migrated: a direct "
        "connection where the service goes through a pooler.",
    )
    data_dir: Path = Field(
        Path(".overrule"), description="Folder of the embedded database and of the first key."
    )
    host: str = Field(
        "127.0.0.1", description="Address to listen on; only this machine by default."
    )
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    pool_size: int = Field(
        10,
        ge=2,
        le=500,
        description="Database connections of one API process. Two cores saturate well below ten; "
        "more only queue inside PostgreSQL.",
    )
    pool_wait_s: float = Field(
        5.0, gt=0, description="Seconds a request waits for a connection before it answers 503."
    )
    statement_timeout_s: float = Field(
        30.0, gt=0, description="Seconds a statement may take before it is given up."
    )
    statement_cache: int = Field(
        256,
        ge=0,
        description="Prepared statements kept per connection; 0 behind a PgBouncer older than "
        "1.21.",
    )
    cache_s: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Seconds after which a replica reloads keys, policies and queues; a change "
        "made on another replica is seen at most this much later.",
    )
    commit_lanes: int = Field(
        2,
        ge=1,
        le=16,
        description="Gathered commits under way at once: one fills while another waits for disk.",
    )
    commit_rows_max: int = Field(
        1000, ge=1, le=10000, description="Predictions gathered into one commit."
    )
    waiting_rows_max: int = Field(
        20000,
        ge=1,
        description="Predictions waiting for a commit; past it the answer is 503 with Retry-After.",
    )
    body_bytes_max: int = Field(
        16 * 2**20, ge=1024, description="Bytes of a JSON body; past it 413."
    )
    batch_rows_max: int = Field(1000, ge=1, description="Predictions of one JSON batch.")
    ndjson_rows_max: int = Field(100_000, ge=1, description="Lines of one NDJSON request.")
    line_bytes_max: int = Field(
        2**20, ge=1024, description="Bytes of one NDJSON line, and of one prediction in a batch."
    )
    lease_wait_s_max: float = Field(
        30.0, ge=0, description="Longest long poll of a claim; proxies commonly cut at 60 seconds."
    )
    lease_claim_max: int = Field(100, ge=1, le=1000, description="Assignments of one claim.")
    worker_tick_s: float = Field(
        0.5, gt=0, description="Seconds between two looks of the worker for due work."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error."
    )

    @model_validator(mode="after")
    def _a_batch_can_wait(self) -> "Settings":
        """Otherwise every full batch would be answered 503, for ever."""
        if self.waiting_rows_max < self.batch_rows_max:
            message = (
                "OVERRULE_WAITING_ROWS_MAX must not be below OVERRULE_BATCH_ROWS_MAX, or no full "
                "batch is ever taken."
            )
            raise ValueError(message)
        return self
