"""Cycle counts of the compute engine: constants and formulas shared by hardware, cycle model and tests.

Symbols: R rows and C columns of the array, M = y_count * x_count vectors of a tile, T = block_count * ky_count *
kx_count * chunk_count tiles of a command, L = ceil(R / 2) cycles in which the rows of a tile enter the array, two at a
time. All numbers are clock cycles.
"""

from systolith_spec.config import AcceleratorConfig

__all__ = [
    "ACCUMULATE_CYCLES", "ACTIVATION_READ_LATENCY", "MINIMUM_TILE_CYCLES", "MULTIPLIER_LATENCY",
    "WEIGHT_READ_LATENCY", "WEIGHT_ROWS", "array_latency", "compute_cycles", "compute_latency", "compute_start", "compute_tail",
    "compute_tiles", "compute_vectors", "tile_cycles", "tile_load_cycles", "weight_lead",
]

MULTIPLIER_LATENCY = 3
"""Operands to product in a processing element."""
ACCUMULATE_CYCLES = 5
"""Read of an accumulator entry to the first cycle in which a read of the same entry sees its new value."""
MINIMUM_TILE_CYCLES = ACCUMULATE_CYCLES
"""First vector of a tile to the first vector of the next: an entry may be read again only once it is written."""
ACTIVATION_READ_LATENCY = 5
"""Accepted read of the activation buffer to its data."""
WEIGHT_READ_LATENCY = 5
"""Read of the weight buffer to its data."""
WEIGHT_ROWS = 2
"""Rows of a weight tile that enter the array in one cycle; the wiring of the array depends on this very number."""

# First position of an accepted command at the read port: hand-over register, walker, three stages of window access.
_FIRST_REQUEST = 1 + 1 + 3
# First tile of an accepted command to the vectors that its weights allow: hand-over register, walker, `armed`.
_FIRST_WEIGHTS = 1 + 1 + 1


def compute_vectors(fields: dict[str, int]) -> int:
    """M: vectors of one tile of a COMPUTE command with these fields."""
    return fields["y_count"] * fields["x_count"]


def compute_tiles(fields: dict[str, int]) -> int:
    """T: weight tiles of a COMPUTE command with these fields."""
    return fields["block_count"] * fields["ky_count"] * fields["kx_count"] * fields["chunk_count"]


def array_latency(config: AcceleratorConfig) -> int:
    """Whole vector at the array (before the input skew) to its whole sums (after the output de-skew)."""
    return config.rows + config.cols + MULTIPLIER_LATENCY


def weight_lead(config: AcceleratorConfig, *, activation_read_latency: int = ACTIVATION_READ_LATENCY,
                weight_read_latency: int = WEIGHT_READ_LATENCY) -> tuple[int, int, int]:
    """How activations and weights are lined up at the array.

    Returns
    -------
    lead : int
        A tile of weights may be requested this many cycles after the request of the first vector of the tile
        before (at least 1: the event takes a register).
    activation_delay, weight_delay : int
        Registers added behind the activation or weight read to reach that lead.
    """
    difference = activation_read_latency - weight_read_latency
    largest = max(tile_load_cycles(config), MINIMUM_TILE_CYCLES) - 1
    activation_delay = max(0, 1 - difference)
    weight_delay = max(0, difference - largest)
    return difference + activation_delay - weight_delay, activation_delay, weight_delay


def tile_load_cycles(config: AcceleratorConfig) -> int:
    """L: cycles in which the rows of a tile enter the array."""
    return -(-config.rows // WEIGHT_ROWS)


def tile_cycles(config: AcceleratorConfig, vectors: int) -> int:
    """First vector of a tile to the first vector of the next: max(M, L, 5)."""
    return max(vectors, tile_load_cycles(config), MINIMUM_TILE_CYCLES)


def compute_cycles(config: AcceleratorConfig, vectors: int, tiles: int) -> int:
    """Cycles a COMPUTE command adds to a run of commands that nothing stalls."""
    return tiles * tile_cycles(config, vectors)


def compute_start(config: AcceleratorConfig, vectors: int, tiles: int) -> int:
    """Cycles from the acceptance of a command by an idle engine to the read of its first vector, as far as they count.

    The weights of the first tile are there before the walk of the first vector has begun. Where tiles take as long
    as their weights (M < L), the second tile gains some of these cycles again.
    """
    gained = (tiles - 1) * (tile_cycles(config, vectors) - max(vectors, MINIMUM_TILE_CYCLES))
    return max(_FIRST_REQUEST - gained, _FIRST_WEIGHTS)


def compute_tail(config: AcceleratorConfig, *, activation_read_latency: int = ACTIVATION_READ_LATENCY,
                 weight_read_latency: int = WEIGHT_READ_LATENCY) -> int:
    """Cycles from the accepted read of the last vector of a command to its retire pulse."""
    _, activation_delay, _ = weight_lead(config, activation_read_latency=activation_read_latency,
                                         weight_read_latency=weight_read_latency)
    # Lane multiplexer, then the array; the read of the accumulator entry overlaps with it.
    return activation_read_latency + 1 + activation_delay + array_latency(config)


def compute_latency(config: AcceleratorConfig, vectors: int, tiles: int, *,
                    activation_read_latency: int = ACTIVATION_READ_LATENCY,
                    weight_read_latency: int = WEIGHT_READ_LATENCY) -> int:
    """Cycles from the acceptance of a COMPUTE command by an idle engine to its retire pulse, without stalls."""
    latencies = {"activation_read_latency": activation_read_latency, "weight_read_latency": weight_read_latency}
    stream = (tiles - 1) * tile_cycles(config, vectors) + vectors - 1
    return compute_start(config, vectors, tiles) + stream + compute_tail(config, **latencies)
