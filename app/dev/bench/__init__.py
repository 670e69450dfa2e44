"""The bench: how fast this machine is, each figure beside a baseline taken in the same run.

Read `main.py` first: it runs the cases and prints what came out. Each case is one file
(`single.py`, `single_lane.py`, `single_plain.py`, `batch.py`, `ndjson.py`, `open_loop.py`,
`claim_verdict.py`, `engine.py`, `cold_start.py`; `growth.py` with `growth_rows.py` only when it is
named) and says in its docstring what it compares with what. `service.py` starts what is measured:
`server.py` is its server process, `plain_server.py` another to compare it with, `child.py` what
they share.
`connection.py`, `prepared.py` and `load.py` make the load, `traffic.py` says what is sent,
`report.py` how it is told.

Only ratios travel from one machine to another: server, database, worker and load share the same
cores, and so do the baselines.
"""
