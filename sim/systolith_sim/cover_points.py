"""Functional cover points: which combinations of operator, geometry, padding, stalls and tile edges a run has met.

A point is a string such as "VECTOR window maximum, partial group, stalls". `all_points` lists those that a regression
must meet; `points_of` gives those of one compiled network.
"""

from itertools import product

from systolith_compiler.graph import Graph
from systolith_compiler.image import Image
from systolith_golden.geometry import window_positions
from systolith_golden.windows import output_size, same_padding
from systolith_spec.commands import Space, decode
from systolith_spec.config import AcceleratorConfig

__all__ = ["all_points", "points_of"]
