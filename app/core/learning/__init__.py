"""What verdicts teach: estimates from audits, agreement, turnaround.

Counts go in, frozen values come out. An estimate that cannot be made is None with a reason, never
NaN.
"""
