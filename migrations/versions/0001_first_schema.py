"""First schema: from a posted prediction to its human answer and its counts.

Every table of project data leads with project_id, so that the same schema can be distributed by
it. Nothing references decisions: their partitions are dropped by retention, and an item copies
what review and estimates need.
"""

from alembic import op

revision = "0001"
down_revision = None

CONTROL = """
CREATE TABLE projects (
  id uuid CONSTRAINT pk_projects PRIMARY KEY,
  name text NOT NULL CONSTRAINT uq_projects_name UNIQUE,
  -- every draw of this project is derived from it; it never leaves the database in an answer
  secret bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  CONSTRAINT ck_projects_name CHECK (length(name) BETWEEN 1 AND 128),
  CONSTRAINT ck_projects_secret CHECK (octet_length(secret) = 32)
);

CREATE TABLE keys (
  id uuid CONSTRAINT pk_keys PRIMARY KEY,
  project_id uuid CONSTRAINT fk_keys_project REFERENCES projects (id),
  name text NOT NULL,
  scopes text[] NOT NULL,
  secret_sha256 bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  expires_at timestamptz,
  revoked_at timestamptz,
  CONSTRAINT ck_keys_scopes CHECK (
    scopes <@ ARRAY['predict', 'review', 'read', 'manage', 'admin'] AND cardinality(scopes) > 0),
  -- an admin key belongs to no project, and only an admin key does
  CONSTRAINT ck_keys_admin CHECK ((project_id IS NULL) = ('admin' = ANY (scopes))),
  CONSTRAINT ck_keys_secret CHECK (octet_length(secret_sha256) = 32)
);
CREATE INDEX ix_keys_project ON keys (project_id, id);

CREATE TABLE change_log (
  id uuid CONSTRAINT pk_change_log PRIMARY KEY,
  project_id uuid,
  at timestamptz NOT NULL DEFAULT statement_timestamp(),
  actor text NOT NULL,
  action text NOT NULL,
  target text NOT NULL,
  before jsonb,
  after jsonb
);
CREATE INDEX ix_change_log_project ON change_log (project_id, id);
"""

POLICIES = """
CREATE TABLE policy_versions (
  project_id uuid NOT NULL CONSTRAINT fk_policy_versions_project REFERENCES projects (id),
  id uuid NOT NULL,
  name text NOT NULL,
  version integer NOT NULL,
  state text NOT NULL DEFAULT 'draft',
  model text NOT NULL,
  document jsonb NOT NULL,
  digest bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  created_by text NOT NULL,
  -- when it last became active; rolling back to it does not change it, so that rolling back again
  -- goes further back
  activated_at timestamptz,
  -- a rollback went from it, or past it, to an earlier one: no other goes back to it
  gone_back_from boolean NOT NULL DEFAULT false,
  CONSTRAINT pk_policy_versions PRIMARY KEY (project_id, id),
  CONSTRAINT uq_policy_versions_name_version UNIQUE (project_id, name, version),
  CONSTRAINT ck_policy_versions_version CHECK (version >= 1),
  CONSTRAINT ck_policy_versions_state CHECK (state IN ('draft', 'active', 'shadow', 'retired')),
  CONSTRAINT ck_policy_versions_activated CHECK (state <> 'active' OR activated_at IS NOT NULL),
  CONSTRAINT ck_policy_versions_digest CHECK (octet_length(digest) = 32)
);
-- at most one active version per model: two activations at once cannot both win
CREATE UNIQUE INDEX uq_policy_versions_active ON policy_versions (project_id, model)
  WHERE state = 'active';
-- and at most one that is evaluated beside it
CREATE UNIQUE INDEX uq_policy_versions_shadow ON policy_versions (project_id, model)
  WHERE state = 'shadow';
"""

DECISIONS = """
CREATE TABLE decisions (
  project_id uuid NOT NULL,
  id uuid NOT NULL,
  request_key text NOT NULL,
  model text NOT NULL,
  model_version text NOT NULL,
  label text,
  confidence double precision,
  route text NOT NULL,
  reason text NOT NULL,
  -- as decided: the item may be moved later
  queue text,
  priority smallint NOT NULL,
  policy_id uuid,
  trace text NOT NULL,
  monitors text,
  audited boolean NOT NULL,
  audit_probability double precision,
  audit_draw double precision,
  inclusion_probability double precision NOT NULL,
  stratum text NOT NULL,
  item_id uuid,
  shadow boolean NOT NULL,
  input_key text,
  -- over what was sent: `prediction`, which is its canonical JSON, and `embedding`
  digest bytea NOT NULL,
  decided_at timestamptz NOT NULL,
  -- text and not jsonb, which would keep neither the spelling that was hashed nor be read as fast
  prediction text NOT NULL,
  embedding bytea,
  -- what the shadow policy would have decided
  beside_policy_id uuid,
  beside_route text,
  beside_reason text,
  -- what a detector said of it: inputs of a replay
  unfamiliar_p double precision,
  unfamiliar_score double precision,
  detector_id uuid,
  -- in which bucket of time it counts, whether as late, by which references (their ids, 16 bytes
  -- each), and in which cell of each of their streams (a byte each, in the references' order)
  bucket bigint,
  late boolean,
  watched bytea,
  cells bytea,
  CONSTRAINT pk_decisions PRIMARY KEY (project_id, id),
  CONSTRAINT ck_decisions_route CHECK (route IN ('accept', 'review', 'reject')),
  CONSTRAINT ck_decisions_audit CHECK (NOT audited OR (route <> 'review' AND NOT shadow)),
  -- who is asked has an item, and a shadow prediction never asks anybody
  CONSTRAINT ck_decisions_item CHECK (
    (item_id IS NOT NULL) = (NOT shadow AND (audited OR route = 'review'))),
  CONSTRAINT ck_decisions_queue CHECK ((queue IS NOT NULL) = (item_id IS NOT NULL)),
  CONSTRAINT ck_decisions_inclusion CHECK (
    inclusion_probability BETWEEN 0 AND 1 AND (shadow OR inclusion_probability > 0)),
  CONSTRAINT ck_decisions_digest CHECK (octet_length(digest) = 32),
  CONSTRAINT ck_decisions_beside CHECK (
    num_nulls(beside_policy_id, beside_route, beside_reason) IN (0, 3)),
  CONSTRAINT ck_decisions_unfamiliar CHECK (
    num_nulls(unfamiliar_p, unfamiliar_score) IN (0, 2)
    AND (unfamiliar_p IS NULL OR detector_id IS NOT NULL)),
  CONSTRAINT ck_decisions_counted CHECK (num_nulls(bucket, late, watched, cells) IN (0, 4))
) PARTITION BY RANGE (id);
-- costs nothing while no shadow policy is evaluated
CREATE INDEX ix_decisions_beside ON decisions (project_id, beside_policy_id, id)
  WHERE beside_policy_id IS NOT NULL;

CREATE TABLE request_keys (
  project_id uuid NOT NULL,
  request_key text NOT NULL,
  decision_id uuid NOT NULL,
  digest bytea NOT NULL,
  CONSTRAINT pk_request_keys PRIMARY KEY (project_id, request_key)
);

CREATE TABLE inbox (
  project_id uuid NOT NULL,
  id uuid NOT NULL,
  counts jsonb NOT NULL,
  -- what is counted of streams; null where nothing is monitored
  streams jsonb,
  CONSTRAINT pk_inbox PRIMARY KEY (project_id, id)
);

CREATE TABLE decision_counts (
  project_id uuid NOT NULL,
  hour timestamptz NOT NULL,
  -- SHA-256 of what is told apart: together these texts can be longer than an index entry may be
  digest bytea NOT NULL,
  model text NOT NULL,
  model_version text NOT NULL,
  label text NOT NULL,
  segment text NOT NULL,
  route text NOT NULL,
  reason text NOT NULL,
  stratum text NOT NULL,
  shadow boolean NOT NULL,
  decisions bigint NOT NULL,
  audited bigint NOT NULL,
  CONSTRAINT pk_decision_counts PRIMARY KEY (project_id, hour, digest),
  CONSTRAINT ck_decision_counts_digest CHECK (octet_length(digest) = 32),
  CONSTRAINT ck_decision_counts CHECK (decisions > 0 AND audited BETWEEN 0 AND decisions)
);
"""

REVIEW = """
CREATE TABLE queues (
  project_id uuid NOT NULL CONSTRAINT fk_queues_project REFERENCES projects (id),
  id uuid NOT NULL,
  name text NOT NULL,
  blind boolean NOT NULL DEFAULT false,
  judge text NOT NULL DEFAULT 'single',
  lease_s integer NOT NULL DEFAULT 900,
  lease_s_max integer NOT NULL DEFAULT 3600,
  extensions_max integer NOT NULL DEFAULT 10,
  due_s integer NOT NULL DEFAULT 86400,
  guidelines text,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  CONSTRAINT pk_queues PRIMARY KEY (project_id, id),
  CONSTRAINT uq_queues_name UNIQUE (project_id, name),
  CONSTRAINT ck_queues_judge CHECK (judge IN ('single', 'panel')),
  CONSTRAINT ck_queues_lease CHECK (lease_s BETWEEN 1 AND lease_s_max),
  CONSTRAINT ck_queues_extensions CHECK (extensions_max >= 0),
  CONSTRAINT ck_queues_due CHECK (due_s >= 1)
);

CREATE TABLE reviewers (
  project_id uuid NOT NULL CONSTRAINT fk_reviewers_project REFERENCES projects (id),
  id text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  claimed_at timestamptz,
  CONSTRAINT pk_reviewers PRIMARY KEY (project_id, id)
);

CREATE TABLE items (
  project_id uuid NOT NULL,
  id uuid NOT NULL,
  kind text NOT NULL,
  state text NOT NULL DEFAULT 'open',
  queue_id uuid NOT NULL,
  decision_id uuid,
  policy_id uuid,
  model text NOT NULL,
  model_version text NOT NULL,
  label text,
  confidence double precision,
  scores jsonb,
  features jsonb,
  segment jsonb,
  route text NOT NULL,
  reason text NOT NULL,
  inclusion_probability double precision NOT NULL,
  stratum text NOT NULL,
  priority smallint NOT NULL,
  blind boolean NOT NULL,
  blocking boolean NOT NULL,
  verdicts_needed smallint NOT NULL DEFAULT 1,
  risk double precision,
  context_key text,
  input_key text,
  subject jsonb,
  decided_at timestamptz NOT NULL,
  queued_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  due_at timestamptz NOT NULL,
  settled_at timestamptz,
  CONSTRAINT pk_items PRIMARY KEY (project_id, id),
  CONSTRAINT fk_items_queue FOREIGN KEY (project_id, queue_id) REFERENCES queues (project_id, id),
  CONSTRAINT ck_items_kind CHECK (kind IN ('review', 'audit', 'gold', 'repeat', 'flagged')),
  CONSTRAINT ck_items_state CHECK (state IN ('open', 'disputed', 'resolved', 'cancelled')),
  CONSTRAINT ck_items_settled CHECK (
    (settled_at IS NOT NULL) = (state IN ('resolved', 'cancelled'))),
  CONSTRAINT ck_items_blind_audit CHECK (kind <> 'audit' OR (blind AND NOT blocking)),
  CONSTRAINT ck_items_inclusion CHECK (
    inclusion_probability > 0 AND inclusion_probability <= 1),
  CONSTRAINT ck_items_priority CHECK (priority BETWEEN 0 AND 100),
  CONSTRAINT ck_items_verdicts_needed CHECK (verdicts_needed BETWEEN 1 AND 99)
);
-- partial, so that a look-up by (project_id, id) cannot use it, though the condition always holds.
-- Without statistics PostgreSQL takes any index that begins with project_id for as good as the
-- primary key, and the check of a foreign key would read every item of the project.
CREATE INDEX ix_items_decision ON items (project_id, decision_id) WHERE decision_id IS NOT NULL;
-- depth and oldest age per queue, and the walk over what is still open
CREATE INDEX ix_items_unsettled ON items (project_id, queue_id, queued_at)
  WHERE state IN ('open', 'disputed');
CREATE INDEX ix_items_settled ON items (project_id, settled_at) WHERE settled_at IS NOT NULL;
-- estimates walk the audits of a time range
CREATE INDEX ix_items_audits ON items (project_id, decided_at) WHERE kind = 'audit';

CREATE TABLE assignments (
  project_id uuid NOT NULL,
  id uuid NOT NULL,
  item_id uuid NOT NULL,
  queue_id uuid NOT NULL,
  slot smallint NOT NULL DEFAULT 0,
  rank bigint NOT NULL,
  state text NOT NULL DEFAULT 'open',
  reviewer text,
  token bigint NOT NULL DEFAULT 0,
  leased_at timestamptz,
  lease_until timestamptz,
  extensions smallint NOT NULL DEFAULT 0,
  submitted_at timestamptz,
  skipped_by text[] NOT NULL DEFAULT '{}',
  CONSTRAINT pk_assignments PRIMARY KEY (project_id, id),
  CONSTRAINT fk_assignments_item FOREIGN KEY (project_id, item_id)
    REFERENCES items (project_id, id),
  CONSTRAINT ck_assignments_state CHECK (state IN ('open', 'leased', 'submitted', 'withdrawn')),
  CONSTRAINT ck_assignments_leased CHECK (
    (state = 'leased') = (lease_until IS NOT NULL)),
  CONSTRAINT ck_assignments_reviewer CHECK (
    (state IN ('leased', 'submitted')) = (reviewer IS NOT NULL)),
  CONSTRAINT ck_assignments_submitted CHECK ((state = 'submitted') = (submitted_at IS NOT NULL))
);
-- the claim's order: what it reads, and nothing else
CREATE INDEX ix_assignments_open ON assignments (project_id, queue_id, rank, slot, id)
  WHERE state = 'open';
CREATE INDEX ix_assignments_expiry ON assignments (project_id, queue_id, lease_until)
  WHERE state = 'leased';
-- partial for the same reason as ix_items_decision
CREATE INDEX ix_assignments_item ON assignments (project_id, item_id) WHERE item_id IS NOT NULL;
-- the proof that nobody judges an item twice, whatever the code does
CREATE UNIQUE INDEX uq_assignments_one_per_reviewer ON assignments (project_id, item_id, reviewer)
  WHERE state IN ('leased', 'submitted');

CREATE TABLE verdicts (
  project_id uuid NOT NULL,
  id uuid NOT NULL,
  item_id uuid NOT NULL,
  assignment_id uuid NOT NULL,
  revision smallint NOT NULL DEFAULT 1,
  token bigint NOT NULL,
  reviewer text NOT NULL,
  verdict text NOT NULL,
  label text,
  seconds_spent double precision,
  seconds_leased double precision NOT NULL,
  comment text,
  source text,
  digest bytea NOT NULL,
  submitted_at timestamptz NOT NULL,
  CONSTRAINT pk_verdicts PRIMARY KEY (project_id, id),
  CONSTRAINT uq_verdicts_revision UNIQUE (project_id, assignment_id, revision),
  CONSTRAINT fk_verdicts_item FOREIGN KEY (project_id, item_id) REFERENCES items (project_id, id),
  CONSTRAINT fk_verdicts_assignment FOREIGN KEY (project_id, assignment_id)
    REFERENCES assignments (project_id, id),
  CONSTRAINT ck_verdicts_verdict CHECK (
    verdict IN ('confirm', 'correct', 'cannot_tell', 'invalid')),
  CONSTRAINT ck_verdicts_label CHECK ((verdict = 'correct') = (label IS NOT NULL)),
  CONSTRAINT ck_verdicts_seconds CHECK (seconds_spent >= 0 AND seconds_leased >= 0)
);
CREATE INDEX ix_verdicts_item ON verdicts (project_id, item_id);
CREATE INDEX ix_verdicts_submitted ON verdicts (project_id, submitted_at);

CREATE TABLE resolutions (
  project_id uuid NOT NULL,
  item_id uuid NOT NULL,
  revision smallint NOT NULL DEFAULT 1,
  outcome text NOT NULL,
  label text,
  agreed boolean,
  judge text NOT NULL,
  blind boolean NOT NULL,
  resolved_at timestamptz NOT NULL,
  CONSTRAINT pk_resolutions PRIMARY KEY (project_id, item_id, revision),
  CONSTRAINT fk_resolutions_item FOREIGN KEY (project_id, item_id)
    REFERENCES items (project_id, id),
  CONSTRAINT ck_resolutions_outcome CHECK (outcome IN ('labeled', 'cannot_tell', 'invalid')),
  CONSTRAINT ck_resolutions_label CHECK ((outcome = 'labeled') = (label IS NOT NULL)),
  -- whether human and model agree is derived from labels: no label, no agreement
  CONSTRAINT ck_resolutions_agreed CHECK (label IS NOT NULL OR agreed IS NULL)
);

CREATE TABLE outbox (
  project_id uuid NOT NULL,
  id uuid NOT NULL,
  type text NOT NULL,
  data jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  CONSTRAINT pk_outbox PRIMARY KEY (project_id, id)
);
"""

JOBS = """
CREATE TABLE jobs (
  project_id uuid NOT NULL CONSTRAINT fk_jobs_project REFERENCES projects (id),
  id uuid NOT NULL,
  kind text NOT NULL,
  arguments jsonb NOT NULL,
  state text NOT NULL DEFAULT 'queued',
  done bigint NOT NULL DEFAULT 0,
  -- not known before the job has looked
  total bigint,
  result jsonb,
  problem jsonb,
  -- grows with each claim and is never reused: every later write names it
  attempts integer NOT NULL DEFAULT 0,
  run_after timestamptz NOT NULL DEFAULT statement_timestamp(),
  lease_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  created_by text NOT NULL,
  started_at timestamptz,
  finished_at timestamptz,
  CONSTRAINT pk_jobs PRIMARY KEY (project_id, id),
  CONSTRAINT ck_jobs_state CHECK (state IN ('queued', 'running', 'done', 'failed')),
  CONSTRAINT ck_jobs_progress CHECK (done >= 0 AND total >= 0),
  CONSTRAINT ck_jobs_leased CHECK ((state = 'running') = (lease_until IS NOT NULL)),
  -- one that is tried again is queued, and keeps the time of its first attempt
  CONSTRAINT ck_jobs_started CHECK (
    (attempts > 0) = (started_at IS NOT NULL) AND (state = 'queued' OR attempts > 0)),
  CONSTRAINT ck_jobs_finished CHECK (
    (finished_at IS NOT NULL) = (state IN ('done', 'failed'))),
  CONSTRAINT ck_jobs_result CHECK ((result IS NOT NULL) = (state = 'done')),
  CONSTRAINT ck_jobs_problem CHECK ((problem IS NOT NULL) = (state = 'failed'))
);
-- what a claim looks through: when each unfinished job is due
CREATE INDEX ix_jobs_due ON jobs (project_id, (coalesce(lease_until, run_after)))
  WHERE state IN ('queued', 'running');
"""

DRIFT = """
CREATE TABLE detectors (
  project_id uuid NOT NULL CONSTRAINT fk_detectors_project REFERENCES projects (id),
  id uuid NOT NULL,
  name text NOT NULL,
  version integer NOT NULL,
  model text NOT NULL,
  state text NOT NULL DEFAULT 'fitting',
  -- what it is fitted on, where that was sent; emptied once it is fitted
  training bytea,
  source jsonb NOT NULL,
  digest bytea,
  fitted bytea,
  summary jsonb,
  job_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  created_by text NOT NULL,
  ready_at timestamptz,
  CONSTRAINT pk_detectors PRIMARY KEY (project_id, id),
  CONSTRAINT uq_detectors_name_version UNIQUE (project_id, name, version),
  CONSTRAINT ck_detectors_version CHECK (version >= 1),
  CONSTRAINT ck_detectors_state CHECK (state IN ('fitting', 'ready', 'failed', 'retired')),
  CONSTRAINT ck_detectors_fitted CHECK (
    state IN ('fitting', 'failed') OR num_nulls(digest, fitted, summary, ready_at) = 0),
  CONSTRAINT ck_detectors_digest CHECK (octet_length(digest) = 32)
);
-- at most one scores the predictions of a model
CREATE UNIQUE INDEX uq_detectors_ready ON detectors (project_id, model) WHERE state = 'ready';

CREATE TABLE drift_references (
  project_id uuid NOT NULL CONSTRAINT fk_drift_references_project REFERENCES projects (id),
  id uuid NOT NULL,
  name text NOT NULL,
  version integer NOT NULL,
  model text NOT NULL,
  -- of which version and which segment (`source:tweets`) alone; null: of all
  model_version text,
  segment text,
  detector_id uuid,
  predictions bigint NOT NULL,
  -- its streams, each with bins and counts
  document jsonb NOT NULL,
  digest bytea NOT NULL,
  source jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  created_by text NOT NULL,
  CONSTRAINT pk_drift_references PRIMARY KEY (project_id, id),
  CONSTRAINT uq_drift_references_name_version UNIQUE (project_id, name, version),
  CONSTRAINT fk_drift_references_detector FOREIGN KEY (project_id, detector_id)
    REFERENCES detectors (project_id, id),
  CONSTRAINT ck_drift_references_version CHECK (version >= 1),
  CONSTRAINT ck_drift_references_predictions CHECK (predictions >= 0),
  CONSTRAINT ck_drift_references_digest CHECK (octet_length(digest) = 32)
);

CREATE TABLE monitored_models (
  project_id uuid NOT NULL CONSTRAINT fk_monitored_models_project REFERENCES projects (id),
  model text NOT NULL,
  bucket_s integer NOT NULL,
  grace_s integer NOT NULL,
  lengths integer[] NOT NULL,
  -- buckets before it are closed: nothing counts in them any more
  first_open bigint NOT NULL,
  -- the last bucket that is being closed, the transaction ids that must be over before it is, and
  -- since when that is waited for
  closing bigint,
  closing_after bigint,
  closing_since timestamptz,
  CONSTRAINT pk_monitored_models PRIMARY KEY (project_id, model),
  CONSTRAINT ck_monitored_models_bucket CHECK (bucket_s >= 1 AND grace_s >= 0),
  CONSTRAINT ck_monitored_models_lengths CHECK (cardinality(lengths) > 0),
  CONSTRAINT ck_monitored_models_closing CHECK (
    num_nulls(closing, closing_after, closing_since) IN (0, 3))
);

CREATE TABLE monitors (
  project_id uuid NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL,
  model text NOT NULL,
  signal text NOT NULL,
  -- null where the signal needs none: what it watches are verdicts
  reference_id uuid,
  settings jsonb NOT NULL,
  muted_until timestamptz,
  acknowledged_at timestamptz,
  acknowledged_by text,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  CONSTRAINT pk_monitors PRIMARY KEY (project_id, id),
  CONSTRAINT uq_monitors_name UNIQUE (project_id, name),
  CONSTRAINT fk_monitors_model FOREIGN KEY (project_id, model)
    REFERENCES monitored_models (project_id, model),
  CONSTRAINT fk_monitors_reference FOREIGN KEY (project_id, reference_id)
    REFERENCES drift_references (project_id, id),
  CONSTRAINT ck_monitors_acknowledged CHECK (
    (acknowledged_at IS NULL) = (acknowledged_by IS NULL))
);

CREATE TABLE stream_counts (
  project_id uuid NOT NULL,
  reference_id uuid NOT NULL,
  model_version text NOT NULL,
  -- empty: the whole of the version
  segment text NOT NULL,
  bucket bigint NOT NULL,
  predictions bigint NOT NULL,
  late bigint NOT NULL,
  -- those that came after their bucket was closed
  moved bigint NOT NULL,
  -- the histograms of the reference's streams, one after the other
  counts integer[] NOT NULL,
  CONSTRAINT pk_stream_counts PRIMARY KEY (
    project_id, reference_id, model_version, segment, bucket),
  CONSTRAINT ck_stream_counts CHECK (predictions > 0 AND late >= 0 AND moved >= 0)
);
-- the windows that end when a bucket closes, of whatever versions and segments there are
CREATE INDEX ix_stream_counts_bucket ON stream_counts (project_id, reference_id, bucket);

CREATE TABLE evaluations (
  project_id uuid NOT NULL,
  id uuid NOT NULL,
  monitor_id uuid NOT NULL,
  reference_id uuid,
  model_version text NOT NULL,
  segment text NOT NULL,
  first_bucket bigint NOT NULL,
  last_bucket bigint NOT NULL,
  -- the monitor's state after it, of windows of this length
  state text NOT NULL,
  results jsonb NOT NULL,
  evaluated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  CONSTRAINT pk_evaluations PRIMARY KEY (project_id, id),
  -- the first writer wins: whoever evaluates the same window finds it done
  CONSTRAINT uq_evaluations_window UNIQUE (
    project_id, monitor_id, model_version, segment, last_bucket, first_bucket),
  CONSTRAINT ck_evaluations_state CHECK (
    state IN ('collecting', 'stable', 'warning', 'drifting')),
  CONSTRAINT ck_evaluations_window CHECK (first_bucket <= last_bucket)
);
-- a monitor's history, newest first
CREATE INDEX ix_evaluations_monitor ON evaluations (project_id, monitor_id, id);

CREATE TABLE monitor_states (
  project_id uuid NOT NULL,
  monitor_id uuid NOT NULL,
  model_version text NOT NULL,
  segment text NOT NULL,
  length integer NOT NULL,
  state text NOT NULL,
  -- the windows that it rests on
  track jsonb NOT NULL,
  evaluation_id uuid NOT NULL,
  -- the end of the window that brought it about
  since timestamptz NOT NULL,
  CONSTRAINT pk_monitor_states PRIMARY KEY (
    project_id, monitor_id, model_version, segment, length),
  CONSTRAINT fk_monitor_states_monitor FOREIGN KEY (project_id, monitor_id)
    REFERENCES monitors (project_id, id),
  CONSTRAINT ck_monitor_states_state CHECK (
    state IN ('collecting', 'stable', 'warning', 'drifting'))
);
"""


def upgrade() -> None:
    # the driver prepares statements, one at a time
    for part in (CONTROL, POLICIES, DECISIONS, REVIEW, JOBS, DRIFT):
        for statement in part.split(";\n"):
            if statement.strip():
                op.execute(statement)


def downgrade() -> None:
    op.execute("""
        DROP TABLE monitor_states, evaluations, stream_counts, monitors, monitored_models,
          drift_references, detectors, jobs, outbox, resolutions, verdicts, assignments, items,
          reviewers, queues, decision_counts, inbox, request_keys, decisions, policy_versions,
          change_log, keys, projects
    """)
