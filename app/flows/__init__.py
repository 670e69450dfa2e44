"""One file per use case: load, call the core, apply; one transaction each.

A flow takes the `Context` and the caller's project, and returns core values. What it decides is
decided in the core; an `if` about the domain in here is in the wrong place.
"""
