"""All proofs, in the order of the data."""

from . import arithmetic, buffers, control, integers, memory, streams

__all__ = ["PROOFS"]

PROOFS = [*streams.PROOFS, *memory.PROOFS, *buffers.PROOFS, *control.PROOFS, *arithmetic.PROOFS, *integers.LEMMAS]
