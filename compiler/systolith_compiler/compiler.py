"""From a graph to an image: lower, place, schedule."""

from dataclasses import replace
from functools import partial
from math import ceil

import numpy as np

from systolith_golden.cycles import predict
from systolith_spec.commands import COMMAND_BYTES, FieldError, Rounding
from systolith_spec.config import AcceleratorConfig
from systolith_spec.dma_timing import burst_bytes

from .column_strips import use_column_strips
from .emitter import Emitter, PlanError
from .graph import Graph, ModelError, UnsupportedError
from .image import Image, LayerRecord, Step, TensorRecord
from .layers import HostLayer, Layer, Storage, WindowLayer
from .lowering import Lowered, lower
from .matrix_plan import MatrixPlan, refinements
from .memory_map import MemoryMap
from .placement import Placement, candidates
from .plan_search import Plan, best_plans, schedule_layer
from .program import Program

__all__ = ["compile_graph"]

_MOST_IMPROVEMENT = 8_000  # trials times commands: a few seconds
_MOST_REFINEMENT = 25_000  # the same, of layers of few pixels



def compile_graph(graph: Graph, config: AcceleratorConfig, *, rounding: str = "double", search: bool = True) -> Image:
    """Compile a network for a configuration.

    Parameters
    ----------
    graph : Graph
    config : AcceleratorConfig
    rounding : str
        "double" (TensorFlow Lite Micro) or "single".
    search : bool
        Look for the best way to cut each layer. Without it every layer gets its usual plan: a hundred times faster, programs a
        few percent slower.

    Returns
    -------
    Image

    Raises
    ------
    UnsupportedError
        An operator cannot be executed, or cannot be cut into tiles that fit the buffers.
    ModelError
        The tensors of an operator do not fit together, or a layer is too large for the fields of commands.
    """
    on_host: set[int] = set()
    in_strips = True
    while True:
        lowered = lower(graph, rounding=Rounding[rounding.upper()], residual_add=config.residual_add,
                        pooling=config.pooling, softmax_channels=config.softmax_channels,
                        on_host=frozenset(on_host))
        strips = use_column_strips(lowered, config) if in_strips else []
        for placement in candidates(lowered, config):
            if not placement.resident.keys() >= set(strips):
                continue
            try:
                return _Compilation(lowered, config, placement, rounding, search).image()
            except _LayerError as error:
                failure = error
            except FieldError as error:
                raise ModelError(f"{graph.name}: a layer is too large for the commands: {error}") from None
        if strips:
            in_strips = False
            continue
        operator = next(op for op in graph.operators if op.index == failure.layer.operators[-1])
        if not isinstance(failure.layer, WindowLayer) or operator.index in on_host:
            raise UnsupportedError(graph, operator,
                                   f"it cannot be tiled for configuration {config.name!r}: {failure}")
        on_host.add(operator.index)


class _LayerError(Exception):
    """A PlanError with the layer it concerns."""

    def __init__(self, layer: Layer, reason: PlanError):
        super().__init__(str(reason))
        self.layer = layer


class _Compilation:
    """One attempt with one placement."""

    def __init__(self, lowered: Lowered, config: AcceleratorConfig, placement: Placement, rounding: str, search: bool):
        self.lowered = lowered
        self.graph = lowered.graph
        self.config = config
        self.placement = placement
        self.rounding = rounding
        self.search = search
        self.plans: dict[int, list[Plan]] = {}  # by layer, the one in use first

    def image(self) -> Image:
        """Schedule every layer and put the image together."""
        programs = self._schedule()
        if self.search and self._improve(programs):
            programs = self._schedule()  # the last trial may not have been the best
        steps = []
        for program, layers in programs:
            if program is not None:
                count = len(program.encode())
                offset = self.memory.add_lazily(COMMAND_BYTES * count, partial(self._commands, program), 4096)
                steps.append(Step(program=offset, commands=count))
            steps += [Step(operator=operator) for layer in layers for operator in layer.operators]
        views, graph = self.lowered.views, self.graph
        host = {t for layer in self.lowered.layers if isinstance(layer, HostLayer)
                for op in graph.operators if op.index in layer.operators for t in (*op.inputs, *op.outputs)
                if t >= 0 and graph.tensors[t].data is None}
        return Image(
            model=graph.name, config=self.config, memory=self.memory.contents(), writable=self.memory.writable, steps=steps,
            rounding=self.rounding, inputs=[self._record(t) for t in graph.inputs],
            outputs=[self._record(t) for t in graph.outputs if t in views],
            scratch=[self._record(t) for t in sorted(host)],
            layers=[LayerRecord(i, layer.op, layer.name, layer.macs, isinstance(layer, HostLayer))
                    for i, layer in enumerate(self.lowered.layers)])

    def _commands(self, program: Program) -> bytes:
        """A program as it stands in the image, when everything has its place."""
        return b"".join(program.encode(self.memory.locate))

    def _record(self, index: int) -> TensorRecord:
        tensor, view = self.graph.tensors[index], self.lowered.views[index]
        quantised = tensor.quantization is not None and not tensor.quantization.per_channel
        return TensorRecord(
            index=index, name=tensor.name, shape=list(tensor.shape), dtype=np.dtype(tensor.dtype).name,
            offset=self.memory.locate(self.homes[view.storage]) + view.offset, scale=float(tensor.scale) if quantised else None,
            zero_point=int(tensor.zero_point) if quantised else None)

    # Main memory.

    def _host_storages(self) -> set[Storage]:
        return {view.storage for layer in self.lowered.layers if isinstance(layer, HostLayer)
                for view in (*layer.sources, layer.output)}

    def _reserve_homes(self) -> None:
        """Give a home in main memory to everything that the host sees or that does not fit the chip.

        What the host gives is no more written by programs than constants are.
        """
        views, graph = self.lowered.views, self.graph
        needed = {views[t].storage: None for t in (*graph.inputs, *graph.outputs) if t in views}
        needed |= dict.fromkeys(sorted(self._host_storages(), key=lambda storage: storage.name))
        for layer in self.lowered.layers:
            for view in (*layer.sources, layer.output):
                if view.storage.data is not None or view.storage not in self.placement.resident:
                    needed[view.storage] = None
        written = {layer.output.storage for layer in self.lowered.layers if not isinstance(layer, HostLayer)}
        for storage in needed:
            if storage.data is not None:
                self.homes[storage] = self.memory.add(storage.data.tobytes())
            elif storage in written:
                self.homes[storage] = self.memory.reserve_written(storage.size)
            else:
                self.homes[storage] = self.memory.reserve(storage.size)

    def _starts_in_memory(self, storage: Storage) -> bool:
        """Whether a storage's contents come from main memory: constants, graph inputs, results of the host."""
        if storage.data is not None or any(self.lowered.views[t].storage is storage for t in self.graph.inputs):
            return True
        return any(isinstance(layer, HostLayer) and layer.output.storage is storage for layer in self.lowered.layers)

    # Programs.

    def _improve(self, programs: list[tuple[Program | None, list[HostLayer]]]) -> bool:
        """Try other plans of each layer in the whole of a short network, and keep the best; False: nothing tried."""
        trials = sum(len(plans) - 1 for plans in self.plans.values())
        commands = sum(len(program.commands) for program, _ in programs if program is not None)
        if not commands or trials * commands > _MOST_IMPROVEMENT:
            return False
        self._fewest = self._cycles(programs)
        for index, plans in self.plans.items():
            for plan in plans[1:]:
                self._try(index, plan)
        self._refine(_MOST_REFINEMENT // commands)
        return True

    def _try(self, index: int, plan: Plan) -> bool:
        """Keep a plan if the whole network is faster with it; say whether it is."""
        before, self.plans[index] = self.plans[index], [plan]
        cycles = self._cycles(self._schedule())
        if cycles >= self._fewest:
            self.plans[index] = before
            return False
        self._fewest = cycles
        return True

    def _refine(self, trials: int) -> None:
        """Refine the plans of layers of few pixels, one after the other, until nothing gets better."""
        few = [index for index, plans in self.plans.items() if isinstance(plans[0], MatrixPlan) and (
            (output := self.lowered.layers[index].output).height * output.width < self.config.rows)]
        better = True
        while better:
            better = False
            for index in few:
                blocks = ceil(self.lowered.layers[index].output.channels / self.config.cols)
                for change in refinements(self.config, self.plans[index][0], blocks):
                    if not trials:
                        return
                    trials -= 1
                    better |= self._try(index, replace(self.plans[index][0], **change))

    def _cycles(self, programs: list[tuple[Program | None, list[HostLayer]]]) -> int:
        """Predicted cycles of all programs."""
        total = 0
        for program, _ in programs:
            if program is not None:
                commands = program.encode()
                total += predict(self.config, commands, program_limit=COMMAND_BYTES * len(commands)).total
        return total

    def _schedule(self) -> list[tuple[Program | None, list[HostLayer]]]:
        """Programs, each followed by the host layers that run after it; layers without a plan get one."""
        self.memory = MemoryMap(max(64, burst_bytes(self.config)))
        self.homes: dict[Storage, int] = {}
        self._reserve_homes()
        preloaded = {storage for storage in self.homes if self._starts_in_memory(storage)}
        preloaded |= {storage for storage in self.placement.resident if storage.columns is not None}
        self.emitter = Emitter(self.config, self.placement, self.memory, self.homes, preloaded)
        programs: list[tuple[Program | None, list[HostLayer]]] = []
        for index, layer in enumerate(self.lowered.layers):
            if isinstance(layer, HostLayer):
                if not programs:
                    programs.append((None, []))
                programs[-1][1].append(layer)
                continue
            if not programs or programs[-1][1]:
                programs.append((Program(self.config, self.memory.written), []))
                self.emitter.begin(programs[-1][0])
            self.emitter.begin_layer(index)
            following = self.lowered.layers[index + 1:index + 3]
            try:
                if index not in self.plans:
                    self.plans[index] = best_plans(layer, self.emitter, following) if self.search else [
                        schedule_layer(layer, self.emitter).plan]
                schedule_layer(layer, self.emitter, self.plans[index][0]).emit()
            except PlanError as error:
                raise _LayerError(layer, error) from None
        return programs
