"""All proofs, in the order of the data."""

from . import arithmetic, control, integers, memory, streams

__all__ = ["PROOFS"]

PROOFS = [*streams.PROOFS, *memory.PROOFS, *control.PROOFS, *arithmetic.PROOFS, *integers.LEMMAS]
