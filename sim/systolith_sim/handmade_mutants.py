"""Mutants made by hand, one for each module of the RTL: (text, replacement)."""

__all__ = ["HANDMADE"]

HANDMADE: dict[str, tuple[str, str]] = {}
