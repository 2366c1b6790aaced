"""Schedules a window layer: pooling, MEAN, elementwise operators, padding and copies, on the vector unit alone."""

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from systolith_spec.commands import Rounding

from .emitter import Emitter, PlanError, Slab
from .layers import Requantization, WindowLayer

__all__ = ["WindowPlan", "WindowSchedule"]



@dataclass(frozen=True)
class WindowPlan:
    """How a layer is cut.

    Attributes
    ----------
    tiles : int
        Pieces along the rows, about; several let the neighbours of the layer overlap with it.
    channels : int
        Channels of a piece, at most.
    early : bool
        Each piece is computed as soon as its input is there, between the pieces of the layer before.
    """

    tiles: int = 4
    channels: int = 1 << 24
    early: bool = False

    def alternatives(self, lanes: int) -> list["WindowPlan"]:
        """Plans worth comparing, for a vector unit with so many lanes."""
        return [WindowPlan(tiles, channels, early) for tiles in (4, 8, 16) for channels in (1 << 24, lanes)
                for early in (False, True)]


@dataclass(frozen=True)
class Block:
    """Output rows, columns and channels of one tile."""

    y: tuple[int, int]
    x: tuple[int, int]
    c: tuple[int, int]


class WindowSchedule:
    """Plan of one window layer; `emit` writes its commands.

    Parameters
    ----------
    layer : WindowLayer
    emitter : Emitter
    plan : WindowPlan

    Raises
    ------
    PlanError
        No tile is small enough for the space there is.
    """

    _DIVISIBLE = (0, 1, 2)  # axes along which a layer may be cut

    def __init__(self, layer: WindowLayer, emitter: Emitter, plan: WindowPlan = WindowPlan()):  # noqa: B008
        self.layer = layer
        self.plan = plan
        self.emitter = emitter
        self.resident = [emitter.address(view) is not None for view in layer.sources]
        self.resident_out = emitter.address(layer.output) is not None
        self.tiles = self._plan()

    @property
    def shape(self) -> tuple:
        """What distinguishes this schedule from others of the layer."""
        return tuple(self.tiles), self.plan.early

    # Tiles.

    def _plan(self) -> list[Block]:
        output = self.layer.output
        shape = [max(1, ceil(output.height / self.plan.tiles)), output.width, min(output.channels, self.plan.channels)]
        while not self._fits(*shape):
            # Rows first, then columns; channels last, since short runs cost the bus most.
            axis = next((axis for axis in self._DIVISIBLE if shape[axis] > 1), None)
            if axis is None:
                raise PlanError("not even one output element fits the staging area")
            shape[axis] = ceil(shape[axis] / 2)
        sizes = (output.height, output.width, output.channels)
        spans = [[(start, min(start + shape[i], sizes[i])) for start in range(0, sizes[i], shape[i])] for i in range(3)]
        return [Block(y, x, c) for y in spans[0] for x in spans[1] for c in spans[2]]

    def _fits(self, rows: int, cols: int, depth: int) -> bool:
        """Whether two slabs per source, and two results, fit the staging areas."""
        placement, layer = self.emitter.placement, self.layer
        staged = self.resident.count(False)
        if staged:
            high = min((rows - 1) * layer.strides[0] + layer.kernel[0], layer.source.height)
            wide = min((cols - 1) * layer.strides[1] + layer.kernel[1], layer.source.width)
            if placement.slabs is None or high * wide * depth > self._slab_slot:
                return False
        return self.resident_out or (placement.results is not None and rows * cols * depth <= self._result_slot)

    @property
    def _slab_slot(self) -> int:
        return self.emitter.placement.slabs.size // (2 * self.resident.count(False)) // 16 * 16

    @property
    def _result_slot(self) -> int:
        return self.emitter.placement.results.size // 2 // 16 * 16

    # Emission.

    def emit(self) -> None:
        """Write the layer's commands."""
        for number, block in enumerate(self.tiles):
            slabs = [self._source(position, block, number) for position in range(len(self.layer.sources))]
            target = self._target(block, number)
            if self.layer.source_b is not None:
                self.emitter.add(self.layer.residual, slabs[0], slabs[1], target, block.y, block.x, block.c)
            else:
                for part, requantization in self._uniform_parts(block):
                    self._window(part, slabs[0], target, requantization)
            self.emitter.store_block(self.layer.output, target, block.y, block.x, block.c)

    def _input_span(self, axis: int, span: tuple[int, int]) -> tuple[int, int]:
        """Input rows (axis 0) or columns (1) that output `span` reads, within the image; at least one."""
        layer = self.layer
        size = (layer.source.height, layer.source.width)[axis]
        first = span[0] * layer.strides[axis] - layer.padding[axis]
        last = (span[1] - 1) * layer.strides[axis] - layer.padding[axis] + layer.kernel[axis]
        first = min(max(first, 0), size - 1)
        return first, min(max(last, first + 1), size)

    def _source(self, position: int, block: Block, number: int) -> Slab:
        view = self.layer.sources[position]
        y, x = self._input_span(0, block.y), self._input_span(1, block.x)
        if self.resident[position]:
            self.emitter.ensure_loaded(view, (y[1] - 1) * view.row_pitch + x[1] * view.pixel_pitch)
            return self.emitter.resident_slab(view)
        staged = self.resident[:position].count(False)
        slot = 2 * staged + number % 2
        return self.emitter.load_block(view, self.emitter.placement.slabs.start + slot * self._slab_slot, y, x, block.c)

    def _target(self, block: Block, number: int) -> Slab:
        if self.resident_out:
            return self.emitter.resident_slab(self.layer.output)
        rows, cols, depth = (stop - start for start, stop in (block.y, block.x, block.c))
        address = self.emitter.placement.results.start + number % 2 * self._result_slot
        return Slab(address, rows, cols, cols * depth, depth, block.y[0], block.x[0], block.c[0])

    def _uniform_parts(self, block: Block):
        """Parts of a tile whose windows have equally many cells inside the image, each with its requantisation."""
        if not self.layer.average:
            yield block, self.layer.requantization
            return
        for y, high in self._runs(0, block.y):
            for x, wide in self._runs(1, block.x):
                count = high * wide
                multiplier, exponent = (1 << 30, 1) if count == 1 else (-(-(1 << 31) // count), 0)
                requantization = replace(
                    self.layer.requantization, bias=np.array([count // 2]), multiplier=np.array([multiplier]),
                    exponent=np.array([exponent]), bias_follows_sign=True,
                    rounding=Rounding.DOUBLE if count == 1 else Rounding.TRUNCATE)
                yield replace(block, y=y, x=x), requantization

    def _runs(self, axis: int, span: tuple[int, int]):
        """Runs of output positions with the same number of window cells inside the image."""
        layer = self.layer
        size = (layer.source.height, layer.source.width)[axis]
        counts = []
        for position in range(*span):
            first = position * layer.strides[axis] - layer.padding[axis]
            counts.append(min(first + layer.kernel[axis], size) - max(first, 0))
        start = 0
        for index in range(1, len(counts) + 1):
            if index == len(counts) or counts[index] != counts[start]:
                yield (span[0] + start, span[0] + index), counts[start]
                start = index

    def _window(self, block: Block, slab: Slab, target: Slab, requantization: Requantization) -> None:
        """One VECTOR command."""
        layer = self.layer
        y, x = self._input_span(0, block.y), self._input_span(1, block.x)
        first_row = block.y[0] * layer.strides[0] - layer.padding[0] - slab.y0
        first_col = block.x[0] * layer.strides[1] - layer.padding[1] - slab.x0
        rows, cols, depth = (stop - start for start, stop in (block.y, block.x, block.c))
        destination = target.locate(block.y[0], block.x[0], block.c[0])
        walk = {
            "base": (slab.address + first_row * slab.row_pitch) % (1 << 24), "pad": layer.pad_value,
            "first_row": first_row, "rows": slab.rows,
            "first_byte": first_col * slab.pixel_pitch + block.c[0] - slab.c0,
            "row_bytes": slab.cols * slab.pixel_pitch, "y_count": rows, "y_row_step": layer.strides[0],
            "y_addr_step": layer.strides[0] * slab.row_pitch % (1 << 24), "x_count": cols,
            "x_byte_step": layer.strides[1] * slab.pixel_pitch, "ky_count": layer.kernel[0], "kx_count": layer.kernel[1],
            "ky_row_step": 1, "ky_addr_step": slab.row_pitch, "kx_byte_step": slab.pixel_pitch, "channels": depth,
        }
        if self._is_linear(block, slab, target):
            address = slab.locate(y[0], x[0], block.c[0])
            total = rows * cols * depth
            walk |= {"base": address, "first_row": 0, "rows": 1, "first_byte": 0, "row_bytes": total, "y_count": 1,
                     "x_count": 1, "channels": total}
        bank = self.emitter.uniform_tables(requantization)
        self.emitter.append(
            "VECTOR", source=1, maximum_reduce=int(layer.maximum), bias_follows_sign=int(requantization.bias_follows_sign),
            rounding=int(requantization.rounding), bank=bank, zero_a=layer.zero_in, zero_out=requantization.zero_out,
            minimum=requantization.minimum, maximum=requantization.maximum, destination=destination,
            destination_y=target.row_pitch, destination_x=target.pixel_pitch, **walk,
            early=self.plan.early, reads=(slab.region(y, x, block.c),), writes=(target.region(block.y, block.x, block.c),))

    def _is_linear(self, block: Block, slab: Slab, target: Slab) -> bool:
        """Whether the tile is one run of bytes in and out, element by element."""
        layer = self.layer
        depth, cols = block.c[1] - block.c[0], block.x[1] - block.x[0]
        if layer.kernel != (1, 1) or layer.strides != (1, 1) or layer.padding != (0, 0):
            return False
        if (layer.source.height, layer.source.width) != (layer.output.height, layer.output.width):
            return False
        rows = block.y[1] - block.y[0]
        return all((s.pixel_pitch == depth or rows * cols == 1) and (s.row_pitch == cols * depth or rows == 1)
                   for s in (slab, target))
