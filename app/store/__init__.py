"""The only SQL.

A function here answers one domain question: it takes a transaction (`Reader` or `Writer`) and
returns core values; rows never leave this package. Hot statements are written out for asyncpg;
the others are SQLAlchemy Core over `tables.py`. Both run on the same connection, inside the
transaction that `engine.py` began.
"""
