"""Survivors of `make mutants`, and why each is harmless."""

__all__ = ["JUDGED"]

JUDGED: dict[tuple[str, str], str] = {}
