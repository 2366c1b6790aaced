"""Predicts LUT4s, flip-flops, multipliers, block RAMs and clock of a configuration, without synthesis.

Each part of the top level is a sum of terms (a constant, one for each lane, for each processing element, ...) whose weights,
none of them negative, are fitted to measured parts; block RAM is counted from widths and depths. Parts were synthesised by
themselves and within whole accelerators, where yosys optimises across their borders: the former are multiplied by the ratio of
the two for the one accelerator of which there are both.
"""

from dataclasses import dataclass
from functools import cache
from math import ceil, log2

import numpy as np
from scipy.optimize import nnls

from systolith_explore.area_measure import PARTS, load_data
from systolith_spec.config import AcceleratorConfig

__all__ = ["CALIBRATION", "RESOURCES", "AreaModel", "Prediction", "area_model", "terms"]

RESOURCES = ("lut", "ff", "dsp", "bram")
_BLOCK_BITS = 18 * 1024
CALIBRATION = ("tiny-4x4", "small-8x8")
"""Whole accelerators whose parts the fit knows."""


@dataclass(frozen=True)
class Prediction:
    """Resources of a whole accelerator, rounded, and of its parts."""

    lut: int
    ff: int
    dsp: int
    bram: int
    parts: dict[str, dict[str, float]]


def _blocks(width: int, depth: int) -> int:
    """ECP5 block RAMs of a memory: 18 kbit each, at most 36 bits wide."""
    best = min((ceil(width / bits) * ceil(depth / (16 * 1024 // data)) for bits, data in ((36, 32), (18, 16), (9, 8), (4, 4))),
               default=0)
    return best


def terms(config: AcceleratorConfig) -> dict[str, list[float]]:
    """What the size of each part grows with."""
    word, beat, lanes = config.activation_word, config.axi_bytes, config.vector_lanes
    bank_depth = config.activation_bytes // config.activation_banks // word
    turns = log2(word)
    column_mode = float(config.depthwise_streams > 0)
    blocks = min(config.processing_elements, config.dsp_budget)
    activation_blocks = config.activation_banks * word * _blocks(8, bank_depth)
    weight_blocks = config.weight_word * _blocks(8, config.weight_bytes // config.weight_word)
    wide_weight_blocks = _blocks(8 * config.weight_word, config.weight_bytes // config.weight_word)
    return {
        "processor": [1.0, beat, config.queue_commands, config.engine_counters],
        "arbiter": [1.0, beat],
        "load": [1.0, beat, word, config.weight_word, config.outstanding_reads],
        "store": [1.0, beat, word, word * turns],
        "activation_buffer": [1.0, word, word * turns, word * word, activation_blocks],
        "weight_buffer": [1.0, config.weight_word, config.weight_word**2, weight_blocks,
                          wide_weight_blocks],
        "parameter_buffer": [1.0, beat, _blocks(64, config.parameter_bytes // 8)],
        # Squares: the triangles of registers that skew activations and line up sums.
        "compute": [1.0, config.rows, config.cols, config.rows**2, config.cols**2, blocks, config.processing_elements - blocks,
                    column_mode, column_mode * config.rows, config.rows * turns,
                    2 * config.cols * _blocks(32, config.accumulator_depth),
                    max(0, config.depthwise_streams - 1) * _blocks(8 * word, config.line_depth)],
        "vector": [1.0, lanes, config.pooling, config.residual_add, config.softmax, lanes * config.pooling,
                   lanes * config.residual_add, word * turns * config.pooling],
    }


class AreaModel:
    """Weights of the terms.

    Parameters
    ----------
    data : dict
        As `area_measure.load_data` gives.
    """

    def __init__(self, data: dict):
        designs = [record for record in data["designs"] if record["config"]["name"] in CALIBRATION]
        self._weights: dict[tuple[str, str], np.ndarray] = {}
        for part in PARTS:
            alone = data["parts"].get(part, [])
            if not alone:
                raise ValueError(f"Area data must hold measurements of {part!r}: make area-data")
            inside = [{"config": record["config"], **record["modules"][part]} for record in designs]
            configs = [AcceleratorConfig(**record["config"]) for record in (*alone, *inside)]
            rows = np.array([terms(config)[part] for config in configs], float)
            for resource in RESOURCES:
                factor = _factor(alone, inside, resource)
                measured = [factor * record[resource] for record in alone] + [record[resource] for record in inside]
                self._weights[part, resource] = _fit(rows, np.array(measured, float))

    def part(self, part: str, resource: str, config: AcceleratorConfig) -> float:
        """A resource of one part in a whole accelerator."""
        return float(self._weights[part, resource] @ terms(config)[part])

    def predict(self, config: AcceleratorConfig) -> Prediction:
        """Resources of a configuration with the multipliers of an ECP5."""
        parts = {part: {resource: self.part(part, resource, config) for resource in RESOURCES} for part in PARTS}
        return Prediction(*(round(sum(part[resource] for part in parts.values())) for resource in RESOURCES), parts)


def _factor(alone: list[dict], inside: list[dict], resource: str) -> float:
    """A part in a whole accelerator beside the same one by itself, where both were measured."""
    hardware = {_hardware(record): record[resource] for record in alone}
    ratios = [record[resource] / hardware[_hardware(record)] for record in inside if hardware.get(_hardware(record))]
    return float(np.mean(ratios)) if ratios else 1.0


def _hardware(record: dict) -> str:
    return repr(sorted((key, value) for key, value in record["config"].items() if key != "name"))


def _fit(rows: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Weights, not negative, with the least relative error."""
    scale = 1.0 / np.maximum(measured, 10.0)
    size = np.maximum(np.abs(rows).max(axis=0), 1e-9)  # terms of like size, for a ridge that decides between like terms
    matrix = np.vstack([rows * scale[:, None] / size * measured.max(initial=1.0), 1e-3 * np.eye(rows.shape[1])])
    weights, _ = nnls(matrix, np.concatenate([measured * scale, np.zeros(rows.shape[1])]))
    return weights * measured.max(initial=1.0) / size


@cache
def area_model() -> AreaModel:
    """The model of the committed measurements."""
    return AreaModel(load_data())
