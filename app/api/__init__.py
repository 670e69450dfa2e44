"""HTTP only: wire models beside their routes, wire to core and back, errors to statuses.

One file per resource. Every route but the health checks asks for a scope
(`Caller` from `auth.py`), and every status code of an error comes from `problems.py`.
"""
