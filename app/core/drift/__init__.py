"""Whether what comes in is still what the model was validated on, and what that changes.

`spec` bins values and counts them, `windows` says which bucket a prediction belongs to and which
windows end when a bucket closes, `distances` and `evaluate` compare a window's counts with those of
the reference, `monitor` turns evaluations into a state with hysteresis. `concept` and `estimated`
look at errors instead of inputs: the one needs verdicts, the other none.

Counts are integers and merge by addition, so the number of replicas and workers cannot change an
answer. scipy is imported inside the functions that need it (0.6 s): only a worker calls those.
"""
