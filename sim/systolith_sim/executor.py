"""Runs a compiled image on a target, step by step: programs on the accelerator, what is left on the host."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from systolith_compiler.graph import Graph
from systolith_compiler.image import Image, Step, TensorRecord
from systolith_golden.call import Call
from systolith_golden.machine import Machine, RunStatistics
from systolith_golden.operators import OPERATORS

__all__ = ["Executor", "MachineTarget", "Target"]


class Target(Protocol):
    """An accelerator with its main memory; offsets are relative to the image."""

    def read(self, offset: int, size: int) -> np.ndarray:
        """Bytes of main memory, uint8."""

    def write(self, offset: int, data: np.ndarray) -> None:
        """Set bytes of main memory."""

    async def run(self, step: Step) -> None:
        """Run a program to its end."""


class MachineTarget:
    """The machine-level golden model as a target.

    Attributes
    ----------
    statistics : list of RunStatistics
        One for each program run.
    """

    def __init__(self, image: Image, *, check_hazards: bool = False):
        self.memory = image.memory.copy()
        self.machine = Machine(image.config, self.memory, writable=image.writable, check_hazards=check_hazards)
        self.statistics: list[RunStatistics] = []

    def read(self, offset: int, size: int) -> np.ndarray:
        return self.memory[offset:offset + size]

    def write(self, offset: int, data: np.ndarray) -> None:
        self.memory[offset:offset + data.size] = data

    async def run(self, step: Step) -> None:
        self.statistics.append(self.machine.run(step.program))


class Executor:
    """Runs inferences of one image on one target.

    Parameters
    ----------
    image : Image
    graph : Graph
        The network it was compiled from, for the host's operators.
    target : Target
    """

    def __init__(self, image: Image, graph: Graph, target: Target):
        self.image = image
        self.graph = graph
        self.target = target
        self._records = {r.index: r for r in (*image.scratch, *image.inputs, *image.outputs)}
        self._known: dict[int, np.ndarray] = {}  # tensors that the host wrote; no program changes them

    async def infer(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run one sample; inputs and outputs in the order and shape of the network's."""
        self._known.clear()
        for record, array in zip(self.image.inputs, inputs, strict=True):
            self._put(record, array)
        for step in self.image.steps:
            if step.program is not None:
                await self.target.run(step)
            else:
                self._host(step.operator)
        return [self._get(self._records[index]) if index in self._records else self.graph.tensors[index].data
                for index in self.graph.outputs]

    def infer_now(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`infer` for a target that never waits, such as the machine model."""
        try:
            self.infer(inputs).send(None)
        except StopIteration as finished:
            return finished.value
        raise RuntimeError("This target waits for a simulator; use infer")

    def _put(self, record: TensorRecord, array: np.ndarray) -> None:
        data = np.ascontiguousarray(array, record.dtype).reshape(record.shape)
        self.target.write(record.offset, data.reshape(-1).view(np.uint8))
        self._known[record.index] = data

    def _get(self, record: TensorRecord) -> np.ndarray:
        if record.index in self._known:
            return self._known[record.index]
        return self.target.read(record.offset, record.size).copy().view(record.dtype).reshape(record.shape)

    def _host(self, index: int) -> None:
        operator = next(op for op in self.graph.operators if op.index == index)
        values = {t: self._get(self._records[t]) for t in operator.inputs
                  if t >= 0 and self.graph.tensors[t].data is None}
        result = OPERATORS[operator.kind](Call(self.graph, operator, values, self.image.rounding))
        self._put(self._records[operator.outputs[0]], result)
