"""Overrule: decides in milliseconds whether a prediction may stand or a human must see it first."""

__version__ = "0.1.0"
