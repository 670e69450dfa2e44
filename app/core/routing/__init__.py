"""From a posted prediction to a decision.

`prediction` (what was posted, checked) → `rules/` (one small file per kind of condition) →
`document` and `policy` (rules in order, audits, default) → `draw` (chance that can be recomputed)
→ `decision` (the answer with its full reason).

To add a kind of rule: one file in `rules/`, one line in `rules/__init__.py`.
"""
