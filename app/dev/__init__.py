"""Programs for people who try Overrule or work on it: the demo and the bench.

They talk to a running service by HTTP only, as any caller would.
"""
