"""Overrule: decides in milliseconds whether a prediction may stand or a human must see it first.

This page says how the code is laid out and why. The folders are the stages that one prediction
passes, so that a reader can follow it from top to bottom.

The stages of a prediction
--------------------------

1.  *Posted.* `api/predictions.py` decodes the body straight into typed structs and refuses it whole
    with the reason, or takes it whole; in a batch each row for itself.
2.  *Decided.* `flows/predict.py` takes the active policy from the read cache (`flows/views.py`) and
    calls `core/routing`: the rules in their order (one small file per kind), then the audit draw.
    The answer is a value: route, reason, and what every rule saw.
3.  *Committed.* `flows/gather.py` puts predictions that arrive together into one transaction;
    `store/decisions.py` writes request key, decision, item, assignment and counts. No timer:
    whoever waits while a commit is under way goes with the next one.
4.  *Answered*, and only now: an answer means that it is on disk.
5.  *Reviewed.* `flows/leases.py` and `flows/verdicts.py`: an assignment is claimed under a lease
    with a token, and answered under that token. `core/review` holds the state tables.
6.  *Resolved.* The verdict settles the item in the same transaction.
7.  *Measured.* The worker (`worker/`) folds the counts; `flows/metrics.py` reads them and asks
    `core/learning` for estimates with intervals.
8.  *Watched.* With 3 each prediction also counts in the cells of its model's references
    (`core/drift/watching.py`). The worker folds those counts, closes buckets of time that are over
    and evaluates their windows (`flows/drift.py`); the states of monitors come back to 2 with the
    read cache and tighten what a policy says under `on_drift`.

What survives a crash: between 3 and 4 the decision is there, and the same request again is
answered with it. Between 5 and 6 there is no moment. Of 7 nothing is lost, since each count is a
row that was committed with its decision and is deleted with the fold that added it.

Who may import whom
-------------------

Only downwards, checked by import-linter in `make check`::

    cli            the command line
    dev            the demo and the bench, which talk to a service as any caller would
    serving        one server process, its database and its worker
    main | worker  the composition root; loops that call flows
    api            HTTP only: wire models beside their routes, errors to statuses
    flows          one file per use case: load, call the core, apply; one transaction each
    store          the only SQL; a function answers one domain question
    settings | telemetry
    core           pure: frozen values and functions. No I/O, clock, chance, logging or framework

A flow without an `if` about the domain, a store without rules and a core without I/O are what makes
each testable alone: the core by rows of a table, the store on a real database, the flows by
scenarios. Errors are facts (`core/errors.py`); one table (`api/problems.py`) gives them a status.
Time, ids and chance are arguments; `store/ids.py` alone mints them.

Why PostgreSQL only
-------------------

"Committed before promised", "two reviewers never hold the same assignment" and "the same request
twice is one decision" are promises of one transaction over several tables. A second system beside
the database (a queue, a cache that is more than a cache) would break them at every crash between
the two. So decisions, queues, leases, counts and the outbox are tables; a process holds nothing but
what can be read again (`OVERRULE_CACHE_S`). Any number of API and worker processes may run.

The same SQL runs on an embedded PostgreSQL 18 and on any PostgreSQL from 15 on, also behind a
pooler in transaction mode: no session state. Every table of project data leads with `project_id`,
so that the schema can be distributed by it. What replicas compare (leases, due times, expiry) is
the database's clock; a replica's own clock only mints ids.

To add something, touch
-----------------------

a kind of rule      one file in `core/routing/rules/`, one line in its `__init__.py`, its rows in
                    `tests/core/routing/`
an endpoint         a wire model and a route in `api/`, a flow, an example in `api/examples.py`,
                    then `overrule openapi`; its scope is a parameter (`api/auth.py`), and the tests
                    that walk the OpenAPI document find it by themselves
a table or column   a revision in `migrations/versions/`, `store/tables.py`, a store function
an error            a class in `core/errors.py` below one of the families
a state of review   a row of the table in `core/review/`; the diagram is printed from it
a setting           a field in `settings.py` with unit and reason, then `overrule settings` into the
                    README
a metric            a name in `telemetry.py`, observed where it happens
background work     a flow that does some and says how much, a line in `worker/loops.py`
what takes long     a flow that reports its progress, its kind in `flows/jobs.py`
"""

__version__ = "0.1.0"
