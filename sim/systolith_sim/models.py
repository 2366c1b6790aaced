"""Real networks and real inputs for tests, read from a folder outside the repository.

The folder is named by the environment variable SYSTOLITH_MODELS, by default `shared/models` beside the
repository. Tests that need it are skipped where it is absent.
"""

import os
from pathlib import Path

import numpy as np

from systolith_compiler.graph import Graph
from systolith_compiler.tflite_reader import read_tflite

__all__ = ["MODEL_NAMES", "model_inputs", "model_path", "models_folder", "quantize_input"]

MODEL_NAMES = (
    "ad01_int8",
    "hello_world_int8",
    "kws_ref_model",
    "kwt1_core_int8",
    "lenet5_mnist_int8_b1",
    "mobilenet_v2_quantized_1x3x224x224",
    "movie_review_int8",
    "pretrainedResnet_quant",
    "str_ww_ref_model",
    "vww_96_int8",
)

_REPOSITORY = Path(__file__).resolve().parents[2]


def models_folder() -> Path | None:
    """The folder of networks, or None when there is none."""
    folder = Path(os.environ.get("SYSTOLITH_MODELS", _REPOSITORY.parent / "shared" / "models"))
    return folder if folder.is_dir() else None


def model_path(name: str) -> Path | None:
    """Path of a network by its name without extension, or None when it is absent."""
    folder = models_folder()
    path = None if folder is None else folder / f"{name}.tflite"
    return path if path is not None and path.is_file() else None


def quantize_input(graph: Graph, values: np.ndarray, position: int = 0) -> np.ndarray:
    """Real numbers in the scale and shape of a graph's input."""
    tensor = graph.tensors[graph.inputs[position]]
    codes = np.round(np.asarray(values) / tensor.scale) + tensor.zero_point
    limits = np.iinfo(tensor.dtype)
    return np.clip(codes, limits.min, limits.max).astype(tensor.dtype).reshape(tensor.shape)


def model_inputs(name: str, count: int = 1) -> list[list[np.ndarray]]:
    """Inputs for a network: real data where the folder has some, else seeded random numbers.

    Parameters
    ----------
    name : str
        One of `MODEL_NAMES`.
    count : int
        Number of samples; fewer where there is less data.

    Returns
    -------
    list of list of np.ndarray
        For each sample, one array per input of the graph.
    """
    folder = models_folder()
    if folder is None:
        raise FileNotFoundError("The folder of networks (SYSTOLITH_MODELS) does not exist")
    graph = read_tflite(folder / f"{name}.tflite")
    tensor = graph.tensors[graph.inputs[0]]
    match name:
        case "kws_ref_model":
            arrays = np.load(folder / "kws_ref_inputs_int8_4890.npz")["x"][:: 4890 // count]
        case "pretrainedResnet_quant":
            arrays = _codes(np.load(folder / "cifar10_test_200.npz")["x"])
        case "str_ww_ref_model":
            arrays = np.load(folder / "mlperf_tiny_inputs.npz")["sww_specs"]
            arrays = [quantize_input(graph, values) for values in arrays[:count]]
        case "ad01_int8":
            frames = np.load(folder / "mlperf_tiny_inputs.npz")["ad"]
            arrays = [quantize_input(graph, frames[start : start + 5]) for start in range(min(count, 190))]
        case "vww_96_int8":
            arrays = [
                _codes(_resize(_read_bmp(path), 96)) for path in sorted((folder / "pictures").glob("*.bmp"))
            ]
        case "mobilenet_v2_quantized_1x3x224x224":
            paths = sorted((folder / "pictures").glob("*.bmp"))
            arrays = [_codes(_resize(_read_bmp(path), 224)).transpose(2, 0, 1) for path in paths]
        case "hello_world_int8":
            arrays = np.linspace(-128, 127, count).round().astype(np.int8)
        case _:
            generator = np.random.default_rng(0)
            top = 10003 if tensor.dtype == np.int32 else 128  # movie_review: rows of its embedding table
            low = 0 if tensor.dtype == np.int32 else -128
            arrays = generator.integers(low, top, (count, *tensor.shape)).astype(tensor.dtype)
    return [[np.ascontiguousarray(array).reshape(tensor.shape)] for array in arrays[:count]]


def _codes(pixels: np.ndarray) -> np.ndarray:
    """Pixels of 0 to 255 as int8 codes with zero point -128."""
    return (pixels.astype(np.int16) - 128).astype(np.int8)


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    """The nearest pixels of a square raster over an image."""
    rows = (np.arange(size) * image.shape[0]) // size
    columns = (np.arange(size) * image.shape[1]) // size
    return image[rows][:, columns]


def _read_bmp(path: Path) -> np.ndarray:
    """An uncompressed bitmap of 8 or 24 bits per pixel as (height, width, 3) RGB."""
    contents = path.read_bytes()
    start = int.from_bytes(contents[10:14], "little")
    width, height = (int.from_bytes(contents[at : at + 4], "little", signed=True) for at in (18, 22))
    depth = int.from_bytes(contents[28:30], "little") // 8
    stride = (width * depth + 3) // 4 * 4
    rows = np.frombuffer(contents, np.uint8, stride * abs(height), start).reshape(abs(height), stride)
    pixels = rows[:, : width * depth].reshape(abs(height), width, depth)[:: -1 if height > 0 else 1, :, ::-1]
    return np.repeat(pixels, 3, axis=2) if depth == 1 else pixels
