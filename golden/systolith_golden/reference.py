"""TensorFlow Lite Micro as an independent witness: the `tflite_micro` package from PyPI, wrapped.

Nothing here is used to compute expected values of the hardware; it checks the golden models themselves.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from systolith_compiler.graph import Graph
from systolith_compiler.tflite_reader import parse_tflite

from .call import Call
from .operators import OPERATORS

__all__ = ["TfliteMicro", "count_mismatches", "run_tflite_micro"]


class TfliteMicro:
    """A model ready to run in TensorFlow Lite Micro.

    Parameters
    ----------
    model : str, Path or bytes
        A `.tflite` file, or its contents.
    preserve_all : bool
        Keep every activation, for comparison layer by layer.

    Raises
    ------
    RuntimeError
        `tflite_micro` is not installed, or it refuses the model (its reasons go to standard error).
    """

    def __init__(self, model: str | Path | bytes, preserve_all: bool = False):
        try:
            from tflite_micro.python.tflite_micro import runtime
        except ImportError as error:
            raise RuntimeError("The package tflite_micro is needed to run the reference") from error
        contents = model if isinstance(model, bytes) else Path(model).read_bytes()
        self.graph = parse_tflite(contents)
        self.preserve_all = preserve_all
        mode = runtime.InterpreterConfig.kPreserveAllTensors if preserve_all else None
        mode = mode or runtime.InterpreterConfig.kAllocationRecording
        arena_size = self._estimate_arena()
        for attempt in range(3):
            try:
                self._interpreter = runtime.Interpreter.from_bytes(
                    contents, arena_size=arena_size << 2 * attempt, intrepreter_config=mode
                )
                break
            except RuntimeError:
                if attempt == 2:
                    raise RuntimeError("TensorFlow Lite Micro refuses the model") from None

    def _estimate_arena(self) -> int:
        """Bytes for all activations at once plus bookkeeping; generous, as too little costs a retry."""
        activations = sum(t.size * t.dtype.itemsize + 16 for t in self.graph.tensors if not t.constant)
        channels = sum(len(t.quantization.scales) for t in self.graph.tensors if t.quantization is not None)
        return (
            3 * activations
            + 64 * channels
            + 1024 * (len(self.graph.tensors) + len(self.graph.operators))
            + (1 << 16)
        )

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run one inference and return the outputs."""
        for position, array in enumerate(inputs):
            self._interpreter.set_input(np.asarray(array, order="C"), position)
        self._interpreter.invoke()
        return [np.array(self._interpreter.get_output(i)) for i in range(len(self.graph.outputs))]

    def run_tensors(self, inputs: Sequence[np.ndarray]) -> dict[int, np.ndarray]:
        """Run one inference and return every activation by tensor index; needs `preserve_all`."""
        if not self.preserve_all:
            raise ValueError("Reading every tensor needs preserve_all=True")
        self.run(inputs)
        written = {index for operator in self.graph.operators for index in operator.outputs}
        return {
            index: np.array(self._interpreter.GetTensor(index, 0)["tensor_data"]).reshape(
                self.graph.tensors[index].shape
            )
            for index in sorted(written | set(self.graph.inputs))
        }


def run_tflite_micro(
    model: str | Path | bytes, inputs: Sequence[np.ndarray], preserve_all: bool = False
) -> list[np.ndarray] | dict[int, np.ndarray]:
    """Run one inference in TensorFlow Lite Micro.

    Parameters
    ----------
    model : str, Path or bytes
    inputs : sequence of np.ndarray
        One array per graph input.
    preserve_all : bool

    Returns
    -------
    list of np.ndarray, or dict of int to np.ndarray
        The outputs; with `preserve_all`, every activation by tensor index.
    """
    interpreter = TfliteMicro(model, preserve_all)
    return interpreter.run_tensors(inputs) if preserve_all else interpreter.run(inputs)


def count_mismatches(graph: Graph, reference: dict[int, np.ndarray]) -> dict[int, tuple[int, int]]:
    """Compare the golden model with TensorFlow Lite Micro operator by operator.

    Each operator is given the reference's own inputs, so that a difference is blamed on the operator that
    makes it and on no other. Cells that SPACE_TO_BATCH_ND pads are left out: TensorFlow Lite Micro fills them
    with whatever its parameter block holds (its issue 1646), where TFLite's rule is the zero point.

    Parameters
    ----------
    graph : Graph
    reference : dict of int to np.ndarray
        Every activation of one inference, from `TfliteMicro.run_tensors`.

    Returns
    -------
    dict of int to (int, int)
        Operator index: number of differing values, number of compared values.
    """
    counts = {}
    for operator in graph.operators:
        call = Call(graph, operator, reference)
        different = OPERATORS[operator.kind](call) != reference[operator.outputs[0]]
        if operator.kind == "SPACE_TO_BATCH_ND":
            different = different[_copied_cells(call)]
        counts[operator.index] = (int(np.count_nonzero(different)), different.size)
    return counts


def _copied_cells(call: Call) -> np.ndarray:
    """Which cells of a SPACE_TO_BATCH_ND's output are not padding: two fillings of the input that differ."""
    name = call.operator.inputs[0]
    low, high = (
        OPERATORS[call.operator.kind](
            Call(call.graph, call.operator, {name: np.full(call.tensor(0).shape, code, np.int8)})
        )
        for code in (-128, 127)
    )
    return low != high
