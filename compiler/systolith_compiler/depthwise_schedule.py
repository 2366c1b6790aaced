"""Schedules a depthwise layer in column mode, where every column of the array works on a channel of its own.

Like `MatrixSchedule`, with other tiles and groups: a group is one or a few blocks of as many channels as column mode
has lanes, each with COMPUTE commands of its own and all drained by one VECTOR. Weights and parameters of many groups,
a *unit*, arrive in one LOAD each.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from systolith_spec.column_mode import column_settle
from systolith_spec.commands import COMMAND_BYTES, Space
from systolith_spec.config import AcceleratorConfig
from systolith_spec.timing import ACTIVATION_READ_LATENCY
from systolith_spec.vector_timing import vector_latency

from .depthwise_passes import Passes, Run, choose_passes
from .emitter import Emitter, PlanError, Slab
from .layers import MatrixLayer
from .matrix_plan import MatrixPlan, Tile
from .matrix_schedule import MatrixSchedule
from .packing import KernelSlice, pack_parameters
from .program import LaneTables, Region

__all__ = ["DepthwisePlan", "DepthwiseSchedule", "schedule_matrix"]

_UNIT_BEATS = 256      # a unit of small groups holds about this many beats of weights
_HANDSHAKE_CYCLES = 12  # about: retirement to acceptance of a command that has waited for its token
_ALTERNATIVES = 24     # plans worth a trial
_WIDTHS = 3            # of tiles that are compared


@dataclass(frozen=True)
class DepthwisePlan:
    """How a layer is cut.

    Attributes
    ----------
    rows, columns : int
        Output pixels of a tile.
    blocks : int
        Blocks of channels in a group.
    slots : int
        Tiles that the staging areas hold.
    """

    rows: int
    columns: int
    blocks: int
    slots: int


def schedule_matrix(layer: MatrixLayer, emitter: Emitter,
                    plan: MatrixPlan | DepthwisePlan | None = None) -> MatrixSchedule:
    """The schedule of a matrix layer for a plan; without one, that which takes the array fewest cycles.

    Raises
    ------
    PlanError
        No plan fits.
    """
    if isinstance(plan, DepthwisePlan):
        return DepthwiseSchedule(layer, emitter, plan)
    if isinstance(plan, MatrixPlan):
        return MatrixSchedule(layer, emitter, plan)
    if not DepthwiseSchedule.suits(layer, emitter.config):
        return MatrixSchedule(layer, emitter)
    try:
        columns = DepthwiseSchedule(layer, emitter)
    except PlanError:
        return MatrixSchedule(layer, emitter)
    try:
        product = MatrixSchedule(layer, emitter)
    except PlanError:
        return columns
    return columns if columns.array_cycles <= product.array_cycles else product


class DepthwiseSchedule(MatrixSchedule):
    """Plan of a depthwise layer in column mode; `emit` writes its commands.

    Parameters
    ----------
    layer : MatrixLayer
        Depthwise, one output channel for each input channel.
    emitter : Emitter
    plan : DepthwisePlan, optional
        How to cut the layer; without it, the one with the lowest estimate.

    Raises
    ------
    PlanError
        No tile is small enough for the space there is.
    """

    plan: DepthwisePlan

    @staticmethod
    def suits(layer: MatrixLayer, config: AcceleratorConfig) -> bool:
        """Whether column mode can execute a layer."""
        return layer.depthwise and config.depthwise_streams > 0 and layer.weights.shape[0] == layer.source.channels

    # Planning.

    def _slices(self) -> list[KernelSlice]:
        self.passes: Passes = choose_passes(self.layer, self.config)
        self._channels = self.config.depthwise_lanes
        self.blocks = ceil(self.outputs / self._channels)
        if self._block_bytes > self.config.weight_bytes // 2:
            raise PlanError(f"{self._block_bytes} weight bytes of one block exceed half the weight buffer")
        return [KernelSlice((0, self.kernel[0]), (0, self.layer.source.channels), False)]

    def _group_slices(self, g: int) -> list[KernelSlice]:
        return self.slices

    @property
    def _block_bytes(self) -> int:
        return self.passes.block_bytes

    def alternatives(self) -> list[DepthwisePlan]:
        """Plans with the lowest estimates, the best first."""
        plans = []
        for self.slots in (2, 1):
            for shape in self._shapes():
                for blocks in self._group_sizes(shape):
                    plans.append((self._estimate(shape, blocks), len(plans), DepthwisePlan(*shape, blocks, self.slots)))
            if plans:
                return [plan for _, _, plan in sorted(plans)[:_ALTERNATIVES]]
        raise PlanError("not even one output pixel fits the staging area")

    def _usual_plan(self) -> DepthwisePlan:
        return self.alternatives()[0]

    def _plan_tiles(self) -> None:
        config, output = self.config, self.layer.output
        rows, cols, blocks, self.slots = self.plan.rows, self.plan.columns, self.plan.blocks, self.plan.slots
        self.tiles = [Tile(y, min(y + rows, output.height), x, min(x + cols, output.width))
                      for y in range(0, output.height, rows) for x in range(0, output.width, cols)]
        step = blocks * self._channels
        self.groups = [(start, min(start + step, self.outputs)) for start in range(0, self.outputs, step)]
        limit = min(config.weight_bytes // 2, _UNIT_BEATS * config.axi_bytes)
        self._unit_groups = max(1, min(limit // (blocks * self._block_bytes),
                                       config.parameter_bytes // 2 // (12 * step + 4 + config.axi_bytes)))

    def _shapes(self):
        """Rows and columns of tiles that fit: whole rows if possible, or a few narrower ones."""
        output, depth = self.layer.output, self.config.accumulator_depth
        widths = 0
        for columns in range(1, output.width + 1):
            cols = ceil(output.width / columns)
            if cols > depth or not self.passes.fits(cols):
                continue
            heights = sorted({ceil(output.height / count) for count in range(1, output.height + 1)}, reverse=True)
            shapes = [(rows, cols) for rows in heights if rows * cols <= depth and self._fits(rows, cols)]
            yield from shapes
            widths += bool(shapes)
            if widths == _WIDTHS:
                return

    def _group_sizes(self, shape: tuple[int, int]):
        """Blocks that one VECTOR may drain."""
        config, pixels = self.config, shape[0] * shape[1]
        most = min(self.blocks, config.table_channels // config.cols, config.accumulator_depth // pixels,
                   config.weight_bytes // 2 // self._block_bytes,
                   (config.parameter_bytes // 2 - 16) // (12 * self._channels))
        # Blocks of fewer channels than columns are not adjacent for the vector engine.
        return range(1, (most if self._channels == config.cols else 1) + 1)

    def _estimate(self, shape: tuple[int, int], blocks: int) -> float:
        """Cycles of the layer: the slowest of array, vector engine and commands, and what cannot overlap."""
        config, output = self.config, self.layer.output
        groups = ceil(self.blocks / blocks)
        channels = min(blocks * self._channels, self.outputs)
        beats = COMMAND_BYTES // config.axi_bytes * (len(self.passes.runs) * blocks + 2)
        total = 0.0
        for rows, row_tiles in self._parts(output.height, shape[0]):
            for cols, col_tiles in self._parts(output.width, shape[1]):
                pixels = rows * cols
                vector = pixels * ceil(channels / config.vector_lanes)
                compute = blocks * self.passes.cycles(rows, cols)
                tables = 2 * channels + _HANDSHAKE_CYCLES
                fields = {"channels": channels, "y_count": rows, "x_count": cols, "source": 0}
                drain = vector_latency(config, fields)
                regions = 2 * max(1, config.accumulator_depth // (pixels * blocks))
                turn = (compute + column_settle(config, read_latency=ACTIVATION_READ_LATENCY) + drain
                        + 2 * _HANDSHAKE_CYCLES) / regions
                total += row_tiles * col_tiles * groups * max(
                    compute, vector, beats, turn, tables, (drain + tables + _HANDSHAKE_CYCLES) / 2)
        pixels = shape[0] * shape[1]
        if not self.resident_in:
            high, wide = self._input_extent(*shape)
            total += high * wide * self.layer.source.channels / config.axi_bytes
        if not self.resident_out:
            total += pixels * self.outputs / config.axi_bytes
        return total + pixels * ceil(channels / config.vector_lanes)

    @staticmethod
    def _parts(size: int, step: int) -> list[tuple[int, int]]:
        """Sizes of the tiles along an axis, with how many there are of each."""
        return [(step, size // step)] + ([(size % step, 1)] if size % step else [])

    @property
    def array_cycles(self) -> int:
        return self.blocks * sum(self.passes.cycles(tile.y1 - tile.y0, tile.x1 - tile.x0) for tile in self.tiles)

    @cached_property
    def _unit_sizes(self) -> dict[tuple[int, int], int]:
        """Bytes of weights of each unit, keys (unit, 0)."""
        sizes = {}
        for unit in range(ceil(len(self.groups) / self._unit_groups)):
            groups = self._groups_of(unit)
            blocks = sum(self._blocks_of(group) for group in groups)
            sizes[unit, 0] = blocks * self._block_bytes
        return sizes

    def _groups_of(self, unit: int) -> list[tuple[int, int]]:
        return self.groups[unit * self._unit_groups:(unit + 1) * self._unit_groups]

    def _blocks_of(self, group: tuple[int, int]) -> int:
        return ceil((group[1] - group[0]) / self._channels)

    def _tiles_outside(self) -> bool:
        weights = sum(self._unit_sizes.values())
        if weights <= self.config.weight_bytes or len(self.tiles) == 1:
            return True
        slabs = 0 if self.resident_in else self.layer.source.size
        return len(self.tiles) * weights + slabs <= weights + len(self.groups) * slabs

    # Emission.

    def _unit_weights(self, unit: int) -> int:
        """Weight buffer address of a unit."""
        def data():
            if (unit, 0) not in self._units:
                size = self._unit_sizes[unit, 0]
                self._units[unit, 0] = self.emitter.memory.add_lazily(size, lambda: self._pack(unit)), size
            return self._units[unit, 0]

        key = (self.emitter.layer_index, "depthwise", unit)
        return self.emitter.load_constant(Space.WEIGHT, self.emitter.weights, key, data)

    def _pack(self, unit: int) -> bytes:
        weights = self.layer.weights[..., 0]
        return b"".join(self.passes.pack(weights[start:min(start + self._channels, stop)])
                        for first, stop in self._groups_of(unit) for start in range(first, stop, self._channels))

    def _unit_records(self, unit: int) -> int:
        """Parameter buffer address of a unit."""
        def data():
            if unit not in self._records:
                packed = b"".join(pack_parameters(self.layer.requantization, group) for group in self._groups_of(unit))
                packed += bytes(self.emitter.align(len(packed)) - len(packed))
                self._records[unit] = self.emitter.memory.add(packed), len(packed)
            return self._records[unit]

        key = (self.emitter.layer_index, "depthwise", unit)
        return self.emitter.load_constant(Space.PARAMETER, self.emitter.parameters, key, data)

    def _record_words(self, group: tuple[int, int]) -> int:
        channels = group[1] - group[0]
        scales = 2 * channels if len(self.layer.requantization.multiplier) > 1 else 0
        return channels + channels % 2 + scales

    def _tables(self, g: int) -> LaneTables:
        requantization = self.layer.requantization
        if self._uniform:
            return self.emitter.uniform_tables(requantization)
        unit, place = divmod(g, self._unit_groups)
        groups = self._groups_of(unit)
        bias = self._unit_records(unit) // 4 + sum(self._record_words(group) for group in groups[:place])
        stop = bias + self._record_words(groups[place])
        channels = self.groups[g][1] - self.groups[g][0]
        scale = {"scale_base": bias + channels + channels % 2}
        if len(requantization.multiplier) == 1:
            scale = {"scale_immediate": 1, "multiplier": int(requantization.multiplier[0]),
                     "exponent": int(requantization.exponent[0])}
        return self.emitter.tables((self.emitter.layer_index, g), channels=channels, bias_base=bias, **scale,
                                   reads=(Region("parameter", 4 * bias, 4 * stop),))

    def _tile_group(self, tile: Tile, number: int, g: int, target: Slab) -> None:
        group = self.groups[g]
        unit, place = divmod(g, self._unit_groups)
        before = sum(self._blocks_of(other) for other in self._groups_of(unit)[:place])
        weights = self._unit_weights(unit) + before * self._block_bytes
        slab = self._slab(tile, number, self.slices[0])
        self._load_rows(tile)
        accumulator = self.emitter.next_accumulators(self._blocks_of(group) * tile.pixels)
        for block in range(self._blocks_of(group)):
            self._column_passes(tile, slab, group[0] + block * self._channels, accumulator + block * tile.pixels,
                                weights + block * self._block_bytes)
        self._drain(tile, g, accumulator, target, tile.pixels)
        if self.layer.residual is not None:
            self._add(tile, number, group, target)

    def _load_rows(self, tile: Tile) -> None:
        """Load whole rows: lines may be longer than what the outputs need."""
        if self.resident_in:
            rows, _ = self._input_window(tile)
            self.emitter.ensure_loaded(self.layer.source, rows[1] * self.layer.source.row_pitch)

    def _column_passes(self, tile: Tile, slab: Slab, channel: int, accumulator: int, weights: int) -> None:
        """COMPUTE commands of one tile and block of channels."""
        for index, run in enumerate(self.passes.runs):
            size = self.passes.run_bytes(run)
            reads = self._rows_region(tile, slab, channel), Region("weight", weights, weights + size)
            self._column_run(run, tile, slab, channel, accumulate=int(index > 0), accumulator=accumulator,
                             weights=weights, reads=reads,
                             writes=(Region("accumulator", accumulator, accumulator + tile.pixels),))
            weights += size

    def _rows_region(self, tile: Tile, slab: Slab, channel: int) -> Region:
        """Whole rows of some channels: lines may be longer than what the outputs need."""
        rows, _ = self._input_window(tile)
        return slab.region(rows, (slab.x0, slab.x0 + slab.cols), (channel, min(channel + self._channels, self.outputs)))

    def _column_run(self, run: Run, tile: Tile, slab: Slab, channel: int, **arguments) -> None:
        layer, passes = self.layer, self.passes
        first_row = tile.y0 * layer.strides[0] - layer.padding[0] + run.rows[0].first - slab.y0
        first_col = tile.x0 * layer.strides[1] - layer.padding[1] + run.columns[0].first - slab.x0
        columns = tile.x1 - tile.x0
        row_distance, column_distance = (
            spans[1].first - spans[0].first if len(spans) > 1 else 0 for spans in (run.rows, run.columns))
        self.emitter.append(
            "COMPUTE", column_mode=1, base=(slab.address + first_row * slab.row_pitch) % (1 << 24), pad=layer.pad_value,
            first_row=first_row, rows=slab.rows, first_byte=first_col * slab.pixel_pitch + channel - slab.c0,
            row_bytes=slab.cols * slab.pixel_pitch, y_count=tile.y1 - tile.y0 + run.height - 1,
            y_row_step=passes.row_step, y_addr_step=passes.row_step * slab.row_pitch % (1 << 24),
            x_count=passes.line(columns), x_byte_step=passes.pixel_step * slab.pixel_pitch,
            ky_count=len(run.rows), kx_count=len(run.columns), ky_row_step=row_distance,
            ky_addr_step=row_distance * slab.row_pitch % (1 << 24), kx_byte_step=column_distance * slab.pixel_pitch,
            chunk_count=1, block_count=1, valid_columns=(columns - 1) * passes.column_step + 1,
            skip_rows=run.height - 1, column_step=passes.column_step, **arguments)
