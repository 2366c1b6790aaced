"""Inputs of inferences: read from files, checked against the network, quantised; or random."""

from pathlib import Path

import numpy as np

from systolith_compiler.graph import Graph, Tensor

__all__ = ["InputError", "load_samples", "random_sample", "sample_shape"]


class InputError(Exception):
    """An input file does not fit the network; the message is one line."""


def sample_shape(tensor: Tensor) -> tuple[int, ...]:
    """Shape of one sample: the tensor's without its batch axis of 1."""
    return tensor.shape[1:] if len(tensor.shape) > 1 and tensor.shape[0] == 1 else tensor.shape


def random_sample(graph: Graph, seed: int) -> list[np.ndarray]:
    """One seeded random array per input, over the whole range of its type."""
    generator = np.random.default_rng(seed)
    arrays = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if tensor.dtype.kind == "f":
            arrays.append(generator.normal(size=tensor.shape).astype(tensor.dtype))
        else:
            limits = np.iinfo(tensor.dtype)
            arrays.append(generator.integers(limits.min, limits.max, tensor.shape, tensor.dtype, endpoint=True))
    return arrays


def load_samples(graph: Graph, path: str | Path) -> list[list[np.ndarray]]:
    """Samples from a file.

    Parameters
    ----------
    graph : Graph
    path : str or Path
        `.npy`: the only input, samples along the first axis. `.npz`: arrays `input_0`, `input_1`, ... alike.
        Of the input's type, or floating point to be quantised with the input's scale (to nearest, ties away
        from zero, saturated).

    Returns
    -------
    list of list of np.ndarray
        For each sample, one array per network input, in the input's shape.

    Raises
    ------
    InputError
    """
    path = Path(path)
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"Cannot read inputs from {path}: {error}") from None
    if isinstance(loaded, np.ndarray):
        arrays = {"input_0": loaded}
    else:
        with loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    wanted = [f"input_{i}" for i in range(len(graph.inputs))]
    if sorted(arrays) != sorted(wanted):
        raise InputError(f"{path} must hold {', '.join(wanted)}, not {', '.join(sorted(arrays)) or 'nothing'}")
    columns = [_samples(graph.tensors[index], arrays[name], path, name)
               for index, name in zip(graph.inputs, wanted, strict=True)]
    if len({len(column) for column in columns}) != 1:
        raise InputError(f"{path} must have as many samples of each input, not {[len(c) for c in columns]}")
    return [list(sample) for sample in zip(*columns, strict=True)]


def _samples(tensor: Tensor, array: np.ndarray, path: Path, name: str) -> list[np.ndarray]:
    shape = sample_shape(tensor)
    if array.ndim != len(shape) + 1 or array.shape[1:] != shape or array.shape[0] == 0:
        raise InputError(f"{path}: {name} must have shape (samples, {', '.join(map(str, shape))}) for {tensor.name!r}, "
                         f"not {array.shape}")
    if array.dtype.kind == "f" and tensor.dtype.kind != "f":
        if not np.all(np.isfinite(array)):
            raise InputError(f"{path}: {name} must be finite")
        scaled = array.astype(np.float64) / tensor.scale
        limits = np.iinfo(tensor.dtype)
        codes = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled) + tensor.zero_point
        array = np.clip(codes, limits.min, limits.max).astype(tensor.dtype)
    if array.dtype != tensor.dtype:
        raise InputError(f"{path}: {name} must be {tensor.dtype} or floating point, not {array.dtype}")
    return [np.ascontiguousarray(sample).reshape(tensor.shape) for sample in array]
