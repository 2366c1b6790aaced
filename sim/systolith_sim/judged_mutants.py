"""Survivors of `make mutants`, and why each is harmless."""

__all__ = ["JUDGED"]

JUDGED: dict[tuple[str, str], str] = {
    ("requantizer_lane", "shifted < self.minimum"): "harmless: with `<=`, what equals the minimum is replaced by the minimum",
}
