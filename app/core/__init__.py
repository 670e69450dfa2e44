"""The pure part: frozen values and functions.

No I/O, no clock, no randomness, no logging, no framework: time, ids and chance are arguments, so
every rule here can be tested by a row of a table and recomputed by an auditor.

Stages, in the order in which a prediction meets them: `routing` (prediction to decision),
`review` (item to verdict and resolution), `learning` (what verdicts say of the decisions).
"""
