"""A matrix product as a network of one FULLY_CONNECTED, for benchmarks."""

import numpy as np

from systolith_compiler.graph import Graph, Operator, Quantization, Tensor

__all__ = ["gemm_graph", "gemm_sample"]


def gemm_graph(m: int, k: int, n: int, seed: int) -> Graph:
    """Network that computes requantize(A x B) for A (m, k) and a seeded random B (k, n), all int8.

    The scales spread the results over the int8 range.
    """
    generator = np.random.default_rng(seed)
    weights = generator.integers(-127, 128, (n, k), np.int8)
    spread = 73.0 * 73.0 * np.sqrt(k) / 40.0  # standard deviation of a sum, brought to 40 codes
    per_tensor = Quantization.per_tensor
    int8 = np.dtype(np.int8)
    tensors = [
        Tensor(0, "A", (m, k), int8, per_tensor(1.0), None, "INT8"),
        Tensor(1, "B", (n, k), int8, per_tensor(1.0), weights, "INT8"),
        Tensor(2, "C", (m, n), int8, per_tensor(float(np.float32(spread))), None, "INT8"),
    ]
    options = {"activation": "NONE", "weights_format": 0, "keep_num_dims": False}
    return Graph(f"gemm {m}x{k}x{n}", tensors, [Operator(0, "FULLY_CONNECTED", (0, 1, -1), (2,), options)], (0,), (2,))


def gemm_sample(m: int, k: int, seed: int) -> list[np.ndarray]:
    """A seeded random A."""
    return [np.random.default_rng(seed + 1).integers(-128, 128, (m, k), np.int8)]
