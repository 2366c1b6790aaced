"""Schedules a matrix layer: tiles of output pixels, groups of output channels, slices of the kernel.

A command triple COMPUTE, PARAMS, VECTOR makes one (tile, group): COMPUTE once per kernel slice, accumulating.
The array's blocks of cols channels form groups; one group's weights for one slice are one *unit* in the weight
buffer. Tiles are looped outside groups, or the reverse, whichever moves fewer bytes.
"""

from dataclasses import replace
from functools import cached_property
from math import ceil, sqrt

from systolith_spec.commands import Space
from systolith_spec.config import AcceleratorConfig
from systolith_spec.timing import tile_cycles

from .emitter import Emitter, PlanError, Slab
from .layers import MatrixLayer, View
from .matrix_plan import MatrixPlan, Tile, cut
from .packing import KernelSlice, pack_parameters, pack_weights, record_bytes
from .program import LaneTables, Region
from .widening import widen

__all__ = ["MatrixSchedule"]

_UNIT_BYTES_PER_BEAT_BYTE = 256  # a unit of small blocks holds about this many beats
_MOST_CHUNKS = 16  # of a slice, where the first or the last group is cut along the reduction


def _turned(view: View) -> View:
    """A column as a row."""
    return replace(view, height=1, width=view.height, pixel_pitch=view.row_pitch, row_pitch=view.height * view.row_pitch)


class MatrixSchedule:
    """Plan of one matrix layer; `emit` writes its commands.

    Parameters
    ----------
    layer : MatrixLayer
    emitter : Emitter
    plan : MatrixPlan, optional
        How to cut the layer; without it, a plan that suits most layers.

    Raises
    ------
    PlanError
        No tile is small enough for the space there is.
    """

    def __init__(self, layer: MatrixLayer, emitter: Emitter, plan: MatrixPlan | None = None):
        self.emitter = emitter
        self.config: AcceleratorConfig = emitter.config
        self.layer = widen(self._turn(layer), emitter.config)
        self.outputs = self.layer.weights.shape[0]
        self.kernel = self.layer.weights.shape[1:3]
        self.blocks = ceil(self.outputs / self.config.cols)
        self.resident_in = emitter.address(self.layer.source) is not None
        self.resident_out = emitter.address(self.layer.output) is not None
        residual = self.layer.residual_source
        self.resident_residual = residual is None or emitter.address(residual) is not None
        self.channel_cut = self.layer.source.channels
        self.slots = 2
        self.slices = self._slices()
        self.plan = plan or self._usual_plan()
        self._plan_tiles()

    @staticmethod
    def _turn(layer: MatrixLayer) -> MatrixLayer:
        """Lay a one-pixel-wide image on its side, so that kernel rows become one contiguous run."""
        source, output = layer.source, layer.output
        if source.width != 1 or output.width != 1 or layer.weights.shape[2] != 1 or source.height == 1:
            return layer
        turned = replace(
            layer, source=_turned(source), output=_turned(output), weights=layer.weights.swapaxes(1, 2),
            strides=layer.strides[::-1], dilations=layer.dilations[::-1], padding=layer.padding[::-1],
            residual_source=layer.residual_source and _turned(layer.residual_source))
        return turned

    @property
    def pixels(self) -> int:
        """Output pixels of the layer."""
        return self.layer.output.height * self.layer.output.width

    @property
    def shape(self) -> tuple:
        """What distinguishes this schedule from others of the layer."""
        last = len(self.groups) - 1
        order = self._together, self._store_twice, self._split_end(len(self.tiles) - 1, last), *self._record_units
        slices = [tuple(self._group_slices(g)) for g in range(last + 1)]
        return order, tuple(self.tiles), tuple(self.groups), *slices

    # Slices of the reduction.

    def _slices(self) -> list[KernelSlice]:
        """Cut the kernel so that one block's weights for a slice fill at most half the weight buffer."""
        height, width = self.kernel
        source = self.layer.source
        limit = self.config.weight_bytes // 2
        tile = self.config.tile_bytes
        if self.layer.depthwise:
            depth = self._depthwise_span
            return self._cut(KernelSlice((0, height), (0, depth), False), limit // tile)
        whole = self.channel_cut >= source.channels
        packed = whole and width > 1 and self.layer.dilations[1] == 1 and source.pixel_pitch == source.channels
        slices = []
        step = min(self.channel_cut, source.channels)
        while True:
            part = KernelSlice((0, 1), (0, step), packed)
            if part.tiles(width, self.config.rows) * tile <= limit:
                break
            if packed:
                packed = False
            elif step <= self.config.rows:
                raise PlanError(f"{width} kernel columns of {tile} weight bytes exceed half the weight buffer")
            else:
                step = ceil(step / 2 / self.config.rows) * self.config.rows
        for start in range(0, source.channels, step):
            channels = (start, min(start + step, source.channels))
            slices += self._cut(KernelSlice((0, height), channels, packed), limit // tile)
        return slices

    def _cut(self, part: KernelSlice, limit: int) -> list[KernelSlice]:
        """Cut a slice by kernel rows into pieces of at most `limit` tiles."""
        height, width = self.kernel
        per_row = replace(part, rows=(0, 1)).tiles(width, self.config.rows)
        step = max(1, min(height, limit // per_row))
        return [replace(part, rows=(row, min(row + step, height))) for row in range(0, height, step)]

    def _group_slices(self, g: int) -> list[KernelSlice]:
        """Slices of a group: those of the layer, or finer ones."""
        plan, rows = self.plan, self.config.rows
        rise, fall = plan.slices_rise and g == 0, plan.slices_fall and g == len(self.groups) - 1
        if self.kernel != (1, 1) or not self.resident_in or self.layer.depthwise:
            return self.slices
        finer = []
        for part in self.slices:
            first, stop = part.channels
            count = ceil((stop - first) / rows)
            step = self._tapered(min(plan.chunks, _MOST_CHUNKS if rise or fall else 1 << 16, count), g)
            chunks = cut(count, step, 1, rise=rise, fall=fall, descending=plan.last_blocks > 0)
            finer += [replace(part, channels=(first + a * rows, min(first + b * rows, stop))) for a, b in chunks]
        return finer

    def _tapered(self, chunks: int, g: int) -> int:
        """Chunks of a slice of a group, between `chunks` for the first group and those of the plan for the last.

        Each slice costs its two commands on the bus, so in the best case each is shorter than the one before by the
        same time: the square of the size falls linearly.
        """
        last = min(self.plan.last_chunks, chunks)
        place = (g + 1) / len(self.groups)
        return max(1, round(sqrt(chunks ** 2 * (1 - place) + last ** 2 * place)))

    @cached_property
    def _multiplier(self) -> int:
        return self.outputs // self.layer.source.channels

    @cached_property
    def _depthwise_span(self) -> int:
        """Input channels that a block of a depthwise layer reads at most."""
        cols, multiplier = self.config.cols, self._multiplier
        spans = [(min(start + cols, self.outputs) - 1) // multiplier - start // multiplier + 1
                 for start in range(0, self.outputs, cols)]
        return max(spans)

    # Tiles and groups.

    def _usual_plan(self) -> MatrixPlan:
        config = self.config
        unit = _UNIT_BYTES_PER_BEAT_BYTE * config.axi_bytes
        return MatrixPlan(pixels=min(config.accumulator_depth, max(8 * config.rows, 64)),
                          blocks=max(1, min(self.blocks, unit // self._block_bytes)))

    @property
    def _block_bytes(self) -> int:
        """Weight bytes of one block of output channels and the largest slice."""
        return max(part.tiles(self.kernel[1], self.config.rows) for part in self.slices) * self.config.tile_bytes

    @property
    def _finest_bytes(self) -> int:
        """Weight bytes of one block of output channels and the largest of the finer slices."""
        if self.kernel != (1, 1) or not self.resident_in or self.layer.depthwise:
            return self._block_bytes
        return min(self._block_bytes, self.plan.chunks * self.config.tile_bytes)

    def _plan_tiles(self) -> None:
        config, plan = self.config, self.plan
        while True:
            for slots in (2, 1):
                self.slots = slots
                shape = self._tile_shape(plan.pixels)
                if shape is not None:
                    break
            else:
                self._cut_channels()
                continue
            break
        self.tiles = self._tiles(*shape)
        pixels = max(tile.pixels for tile in self.tiles)
        most = [self.blocks, plan.blocks, config.weight_bytes // 2 // self._finest_bytes, config.accumulator_depth // pixels]
        if not self._uniform:
            most.append(config.table_channels // config.cols)
        self.group_blocks = 1 if self.layer.depthwise else max(1, min(most))
        last = min(plan.last_blocks, self.group_blocks, self.blocks - 1)
        groups = cut(self.blocks - last, self.group_blocks, 1, rise=plan.groups_rise, fall=plan.groups_fall)
        groups += [(self.blocks - last, self.blocks)] * (last > 0)
        self.groups = [(start * config.cols, min(stop * config.cols, self.outputs)) for start, stop in groups]

    def _tiles(self, rows: int, cols: int) -> list[Tile]:
        """Tiles of at most that many rows and columns."""
        output, plan = self.layer.output, self.plan
        ends = {"rise": plan.tiles_rise, "fall": plan.tiles_fall}
        if rows == 1 and output.height == 1:
            spans = [(0, 1)], cut(output.width, cols, self.config.rows, **ends)
        else:
            spans = (cut(output.height, rows, ceil(self.config.rows / cols), **ends),
                     cut(output.width, cols, cols))
        return [Tile(*y, *x) for y in spans[0] for x in spans[1]]

    def _tile_shape(self, target: int) -> tuple[int, int] | None:
        """Rows and columns of a tile: about `target` pixels, small enough for the staging areas."""
        output = self.layer.output
        target = min(target, self.config.accumulator_depth)
        cols = min(output.width, self.config.accumulator_depth)
        if output.height == 1 and cols > target:
            cols = target
        cols = ceil(output.width / ceil(output.width / cols))
        rows = max(1, min(output.height, target // cols))
        rows = ceil(output.height / ceil(output.height / rows))
        while not self._fits(rows, cols):
            if rows > 1:
                rows = ceil(rows / 2)
            elif cols > 1:
                cols = ceil(cols / 2)
            else:
                return None
        return rows, cols

    @cached_property
    def _uniform(self) -> bool:
        """Whether all output channels have the same bias and scale."""
        requantization = self.layer.requantization
        return len(requantization.multiplier) == 1 and len(set(requantization.bias.tolist())) == 1

    def _input_extent(self, rows: int, cols: int) -> tuple[int, int]:
        """Input rows and columns that a tile of that size reads at most."""
        layer = self.layer
        sizes = (rows, cols)
        spans = [(sizes[i] - 1) * layer.strides[i] + (self.kernel[i] - 1) * layer.dilations[i] + 1 for i in (0, 1)]
        return min(spans[0], layer.source.height), min(spans[1], layer.source.width)

    def _fits(self, rows: int, cols: int) -> bool:
        placement = self.emitter.placement
        if not self.resident_in:
            high, wide = self._input_extent(rows, cols)
            depth = max(part.channels[1] - part.channels[0] for part in self.slices) if (
                not self.layer.depthwise and self._channel_cuts) else self.layer.source.channels
            if placement.slabs is None or high * wide * depth > placement.slabs.size // self.slots // 16 * 16:
                return False
        if not self.resident_out or not self.resident_residual:
            if placement.results is None or self._result_slot(rows * cols) > placement.results.size // self._result_slots:
                return False
        return True

    @property
    def _result_slots(self) -> int:
        staged = (not self.resident_out) + (not self.resident_residual)
        return self.slots * max(1, staged)

    def _result_slot(self, pixels: int) -> int:
        return ceil(pixels * self.outputs / 16) * 16

    @property
    def _channel_cuts(self) -> bool:
        return len({part.channels for part in self.slices}) > 1

    def _cut_channels(self) -> None:
        """Halve the channels of a slice, when even the slab of one output pixel is too large."""
        if self.layer.depthwise or self.resident_in or self.channel_cut <= self.config.rows:
            raise PlanError("not even one output pixel fits the staging area")
        self.channel_cut = ceil(self.channel_cut / 2 / self.config.rows) * self.config.rows
        self.slices = self._slices()

    # Order of the loops.

    @property
    def array_cycles(self) -> int:
        """Cycles that the array takes for the layer."""
        tiles = sum(part.tiles(self.kernel[1], self.config.rows) for part in self.slices)
        return self.blocks * tiles * sum(tile_cycles(self.config, tile.pixels) for tile in self.tiles)

    @cached_property
    def _unit_sizes(self) -> dict[tuple[int, int], int]:
        """Bytes of each (group, slice) unit of weights."""
        sizes = {}
        for g, (start, stop) in enumerate(self.groups):
            blocks = ceil((stop - start) / self.config.cols)
            for s, part in enumerate(self._group_slices(g)):
                sizes[g, s] = self.emitter.align(
                    blocks * part.tiles(self.kernel[1], self.config.rows) * self.config.tile_bytes)
        return sizes

    def _tiles_outside(self) -> bool:
        """Whether tiles are the outer loop: compare the bytes that either order loads."""
        weights = sum(self._unit_sizes.values())
        if weights <= self.config.weight_bytes or len(self.tiles) == 1:
            return True
        slabs = 0
        if not self.resident_in:
            for tile in self.tiles:
                high, wide = self._input_extent(tile.y1 - tile.y0, tile.x1 - tile.x0)
                slabs += high * wide * self.layer.source.channels
        tiles_outside = len(self.tiles) * weights + slabs
        group_weights = max(sum(size for (g, _), size in self._unit_sizes.items() if g == group)
                            for group in range(len(self.groups)))
        reload = 1 if group_weights <= self.config.weight_bytes else len(self.tiles)
        return tiles_outside <= reload * weights + len(self.groups) * slabs

    # Emission.

    def emit(self) -> None:
        """Write the layer's commands."""
        self.emitter.weights.rewind_for(sum(self._unit_sizes.values()))
        self._units: dict[tuple[int, int], tuple[int, int]] = {}
        self._records: dict[range, tuple[int, int]] = {}
        self._slab_cache: dict[object, Slab] = {}
        self._slab_turn = 0
        if self._tiles_outside():
            together = self._together
            for first in [0, *range(together, len(self.tiles))]:
                tiles = list(enumerate(self.tiles))[first:first + (1 if first else together)]
                targets = {number: self._target(tile, number) for number, tile in tiles}
                for g in range(len(self.groups)):
                    for number, tile in tiles:
                        self._tile_group(tile, number, g, targets[number])
                        self._store_groups(number, tile, g, targets[number])
        else:
            for g, group in enumerate(self.groups):
                for number, tile in enumerate(self.tiles):
                    target = self._target(tile, g * len(self.tiles) + number)
                    self._tile_group(tile, number, g, target)
                    if not self.resident_out:
                        self._store(tile, target, group)
                    elif g == len(self.groups) - 1:
                        self._store(tile, target, (0, self.outputs))

    def _store_groups(self, number: int, tile: Tile, g: int, target: Slab) -> None:
        """Store a tile behind its last group, or the last tile behind its last two groups."""
        last = self.groups[-1][0]
        if self._store_twice and number == len(self.tiles) - 1 and len(self.groups) > 1:
            if g >= len(self.groups) - 2:
                self._store(tile, target, (0, last) if g < len(self.groups) - 1 else (last, self.outputs))
        elif g == len(self.groups) - 1 and not self._split_end(number, g):
            self._store(tile, target, (0, self.outputs))

    @property
    def _together(self) -> int:
        """Tiles at the beginning that go through the groups together."""
        resident = self.resident_in and self.resident_out and self.resident_residual
        return min(self.plan.together, len(self.tiles)) if resident and isinstance(self.plan, MatrixPlan) else 1

    @property
    def _store_twice(self) -> bool:
        return isinstance(self.plan, MatrixPlan) and self.plan.store_twice

    @property
    def loads(self) -> bool:
        """Whether the input is still to be loaded."""
        return self.emitter.unloaded(self.layer.source)

    @property
    def stores(self) -> bool:
        """Whether the output has a home in main memory."""
        return self.layer.output.storage in self.emitter.homes

    def _result_address(self, number: int, pixels: int) -> int:
        area = self.emitter.placement.results
        slot = area.size // self._result_slots // 16 * 16
        return area.start + (number % self._result_slots) * slot

    def _target(self, tile: Tile, number: int) -> Slab:
        """Where a tile's results are written."""
        if self.resident_out:
            return self.emitter.resident_slab(self.layer.output)
        return self._staged(self._result_address(number % self.slots, tile.pixels), tile)

    def _staged(self, address: int, tile: Tile) -> Slab:
        cols = tile.x1 - tile.x0
        return Slab(address, tile.y1 - tile.y0, cols, cols * self.outputs, self.outputs, tile.y0, tile.x0)

    def _store(self, tile: Tile, target: Slab, channels: tuple[int, int]) -> None:
        self.emitter.store_block(self.layer.output, target, (tile.y0, tile.y1), (tile.x0, tile.x1), channels)

    def _input_window(self, tile: Tile) -> tuple[tuple[int, int], tuple[int, int]]:
        """Input rows and columns that a tile reads, within the image."""
        spans = []
        for i, (start, stop, size) in enumerate(((tile.y0, tile.y1, self.layer.source.height),
                                                 (tile.x0, tile.x1, self.layer.source.width))):
            first = start * self.layer.strides[i] - self.layer.padding[i]
            last = (stop - 1) * self.layer.strides[i] - self.layer.padding[i] + (
                self.kernel[i] - 1) * self.layer.dilations[i] + 1
            first = min(max(first, 0), size - 1)
            spans.append((first, min(max(last, first + 1), size)))
        return spans[0], spans[1]

    def _slab(self, tile: Tile, number: int, part: KernelSlice) -> Slab:
        """Input of a tile in the activation buffer."""
        source = self.layer.source
        rows, cols = self._input_window(tile)
        if self.resident_in:
            stop = (rows[1] - 1) * source.row_pitch + cols[1] * source.pixel_pitch
            self.emitter.ensure_loaded(source, stop)
            return self.emitter.resident_slab(source)
        channels = part.channels if self._channel_cuts and not self.layer.depthwise else (0, source.channels)
        key = (number, channels)
        if key not in self._slab_cache:
            area = self.emitter.placement.slabs
            slot = self._slab_turn % self.slots
            self._slab_turn += 1
            address = area.start + slot * (area.size // self.slots // 16 * 16)
            self._slab_cache = {k: s for k, s in self._slab_cache.items() if s.address != address}
            self._slab_cache[key] = self.emitter.load_block(source, address, rows, cols, channels)
        return self._slab_cache[key]

    def _weights(self, g: int, s: int) -> int:
        """Weight buffer address of a unit."""
        def data():
            if (g, s) not in self._units:
                part = self._part(self._group_slices(g)[s], self.groups[g])
                self._units[g, s] = self.emitter.memory.add_lazily(
                    self._unit_sizes[g, s],
                    lambda: pack_weights(self.layer, part, self.groups[g], self.config.rows, self.config.cols)), \
                    self._unit_sizes[g, s]
            return self._units[g, s]

        return self.emitter.load_constant(Space.WEIGHT, self.emitter.weights, (self.emitter.layer_index, g, s), data)

    def _part(self, part: KernelSlice, group: tuple[int, int]) -> KernelSlice:
        """Input channels of a slice; for depthwise they follow the group."""
        if not self.layer.depthwise:
            return part
        first = group[0] // self._multiplier
        return replace(part, channels=(first, first + self._depthwise_span))

    def _parameters(self, g: int) -> int:
        """Parameter buffer address of a group's records; those of neighbours are loaded by the same command."""
        requantization = self.layer.requantization
        unit = next(unit for unit in self._record_units if g in unit)
        sizes = [self.emitter.align(record_bytes(requantization, group)) for group in self.groups]

        def data():
            if unit not in self._records:
                packed = b"".join(pack_parameters(requantization, self.groups[i]).ljust(sizes[i], b"\0") for i in unit)
                self._records[unit] = self.emitter.memory.add(packed), len(packed)
            return self._records[unit]

        key = (self.emitter.layer_index, unit)
        address = self.emitter.load_constant(Space.PARAMETER, self.emitter.parameters, key, data)
        return address + sum(sizes[unit.start:g])

    @cached_property
    def _record_units(self) -> list[range]:
        """Groups whose parameter records are loaded by one command, that of the first of them."""
        if not (isinstance(self.plan, MatrixPlan) and self.plan.records_together):
            return [range(g, g + 1) for g in range(len(self.groups))]
        units: list[range] = []
        room = 0
        for g, group in enumerate(self.groups):
            size = self.emitter.align(record_bytes(self.layer.requantization, group))
            if size > room:
                units.append(range(g, g))
                room = self.config.parameter_bytes // 2  # those of the next layer fit beside them
            units[-1] = range(units[-1].start, g + 1)
            room -= size
        return units

    def _tables(self, g: int) -> LaneTables:
        """Lane tables with a group's requantisation."""
        requantization = self.layer.requantization
        if self._uniform:
            return self.emitter.uniform_tables(requantization)
        group = self.groups[g]
        address = self._parameters(g)
        key = (self.emitter.layer_index, g)
        channels = group[1] - group[0]
        bias = address // 4
        scale = bias + channels + channels % 2
        per_tensor = len(requantization.multiplier) == 1
        immediate = {"scale_immediate": 1, "multiplier": int(requantization.multiplier[0]),
                     "exponent": int(requantization.exponent[0])} if per_tensor else {"scale_base": scale}
        stop = 4 * (scale if per_tensor else scale + 2 * channels)
        return self.emitter.tables(key, channels=channels, bias_base=bias, **immediate,
                                   reads=(Region("parameter", address, stop),))

    def _tile_group(self, tile: Tile, number: int, g: int, target: Slab) -> None:
        """COMPUTE and VECTOR of one tile and group of output channels."""
        start, stop = self.groups[g]
        accumulator = self.emitter.next_accumulators(ceil((stop - start) / self.config.cols) * tile.pixels)
        for s, part in enumerate(self._group_slices(g)):
            address = self._weights(g, s)
            slab = self._slab(tile, number, part)
            self._compute(tile, self._part(part, self.groups[g]), slab, g, accumulator, address, self._unit_sizes[g, s],
                          accumulate=s > 0)
        if self._split_end(number, g):
            # The first half is on its way to memory while the vector unit works on the second.
            for part, first in self._halves(tile):
                self._drain(part, g, accumulator + first, target, tile.pixels)
                self._store(part, target, (0, self.outputs))
            return
        self._drain(tile, g, accumulator, target, tile.pixels)
        if self.layer.residual is not None:
            self._add(tile, number, self.groups[g], target)

    def _compute(self, tile: Tile, part: KernelSlice, slab: Slab, g: int, accumulator: int, weights: int,
                 weight_bytes: int, *, accumulate: bool) -> None:
        layer, config = self.layer, self.config
        height, columns, chunks = part.walk(self.kernel[1], config.rows)
        first_row = tile.y0 * layer.strides[0] - layer.padding[0] + part.rows[0] * layer.dilations[0] - slab.y0
        first_col = tile.x0 * layer.strides[1] - layer.padding[1] - slab.x0
        group = self.groups[g]
        blocks = ceil((group[1] - group[0]) / config.cols)
        rows, cols = self._input_window(tile)
        self.emitter.append(
            "COMPUTE", accumulate=int(accumulate), base=(slab.address + first_row * slab.row_pitch) % (1 << 24),
            pad=layer.pad_value, first_row=first_row, rows=slab.rows,
            first_byte=first_col * slab.pixel_pitch + part.channels[0] - slab.c0, row_bytes=slab.cols * slab.pixel_pitch,
            y_count=tile.y1 - tile.y0, y_row_step=layer.strides[0], y_addr_step=layer.strides[0] * slab.row_pitch % (1 << 24),
            x_count=tile.x1 - tile.x0, x_byte_step=layer.strides[1] * slab.pixel_pitch, ky_count=height, kx_count=columns,
            ky_row_step=layer.dilations[0], ky_addr_step=layer.dilations[0] * slab.row_pitch % (1 << 24),
            kx_byte_step=layer.dilations[1] * slab.pixel_pitch, chunk_count=chunks, accumulator=accumulator,
            weights=weights, block_count=blocks, block_step=tile.pixels,
            reads=(slab.region(rows, cols, part.channels), Region("weight", weights, weights + weight_bytes)),
            writes=(Region("accumulator", accumulator, accumulator + blocks * tile.pixels),))

    def _split_end(self, number: int, g: int) -> bool:
        """Whether this tile and group, the last, leave the vector unit and the chip in two halves."""
        return (isinstance(self.plan, MatrixPlan) and self.plan.end_halves and self.layer.residual is None
                and self._tiles_outside() and not self._store_twice and self.tiles[number].pixels > 1
                and (number, g) == (len(self.tiles) - 1, len(self.groups) - 1))

    @staticmethod
    def _halves(tile: Tile) -> list[tuple[Tile, int]]:
        """Two parts of a tile, each with its first pixel."""
        if tile.y1 - tile.y0 > 1:
            middle = (tile.y0 + tile.y1) // 2
            first, second = replace(tile, y1=middle), replace(tile, y0=middle)
        else:
            middle = (tile.x0 + tile.x1) // 2
            first, second = replace(tile, x1=middle), replace(tile, x0=middle)
        return [(first, 0), (second, first.pixels)]

    def _drain(self, tile: Tile, g: int, accumulator: int, target: Slab, step: int) -> None:
        """VECTOR of a tile, or of a part of one; `step` accumulator entries from a block to the next."""
        requantization = self.layer.requantization
        start, stop = self.groups[g]
        blocks = ceil((stop - start) / self.config.cols)
        bank = self._tables(g)
        destination = target.locate(tile.y0, tile.x0, start)
        self.emitter.append(
            "VECTOR", source=0, bank=bank, rounding=requantization.rounding, base=accumulator, y_count=tile.y1 - tile.y0,
            x_count=tile.x1 - tile.x0, ky_count=1, kx_count=1, zero_out=requantization.zero_out,
            minimum=requantization.minimum, maximum=requantization.maximum, channels=stop - start,
            destination=destination, destination_y=target.row_pitch, destination_x=target.pixel_pitch,
            block_step=step,
            reads=(Region("accumulator", accumulator, accumulator + (blocks - 1) * step + tile.pixels),),
            writes=(target.region((tile.y0, tile.y1), (tile.x0, tile.x1), (start, stop)),))

    def _add(self, tile: Tile, number: int, channels: tuple[int, int], target: Slab) -> None:
        """The fused residual addition, in place."""
        residual = self.layer.residual_source
        rows, cols = (tile.y0, tile.y1), (tile.x0, tile.x1)
        if self.resident_residual:
            self.emitter.ensure_loaded(residual, residual.size)
            other = self.emitter.resident_slab(residual)
        else:
            slot = self.slots * (not self.resident_out) + number % self.slots
            address = self._result_address(slot, tile.pixels)
            key = ("residual", number)
            if key not in self._slab_cache:
                self._slab_cache = {k: s for k, s in self._slab_cache.items() if s.address != address}
                self._slab_cache[key] = self.emitter.load_block(residual, address, rows, cols, (0, self.outputs))
            other = self._slab_cache[key]
        self.emitter.add(self.layer.residual, target, other, target, rows, cols, channels)
