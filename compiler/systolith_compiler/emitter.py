"""What all schedulers share: the program being written, and what each buffer holds at this point of it."""

from copy import copy
from dataclasses import dataclass

from systolith_spec.config import AcceleratorConfig
from systolith_spec.widths import largest_row_bytes

from .layers import Requantization, Residual, Storage, View
from .memory_map import WRITTEN, MemoryMap
from .placement import Placement
from .program import LaneTables, Program, Region

__all__ = ["Emitter", "PlanError", "Slab"]

_LEAST_LOAD_BEATS = 32  # resident inputs arrive as they are needed, but in pieces that are worth a command


class PlanError(Exception):
    """A layer cannot be tiled into the space that a placement leaves."""


@dataclass(frozen=True)
class Slab:
    """Part of a tensor in the activation buffer: byte (y, x, c) of the tensor, for y, x, c from the origin on.

    `pixel_pitch` and `row_pitch` are those of the buffer; `rows` and `cols` its extent.
    """

    address: int
    rows: int
    cols: int
    row_pitch: int
    pixel_pitch: int
    y0: int = 0
    x0: int = 0
    c0: int = 0

    def locate(self, y: int, x: int, c: int = 0) -> int:
        """Buffer address of a byte of the tensor."""
        return self.address + (y - self.y0) * self.row_pitch + (x - self.x0) * self.pixel_pitch + c - self.c0

    def region(self, y: tuple[int, int], x: tuple[int, int], c: tuple[int, int]) -> Region:
        """Bytes of some channels of a block of pixels, or what lies between the first and the last of them."""
        first, stop = self.locate(y[0], x[0], c[0]), self.locate(y[1] - 1, x[1] - 1, c[1])
        across = (x[1] - x[0]) * self.pixel_pitch
        if across == self.pixel_pitch or (y[1] - y[0] > 1 and self.row_pitch != across):
            return Region("activation", first, stop)
        return Region("activation", first, stop, self.pixel_pitch, c[1] - c[0])


class _Ring:
    """Ring allocation with memory of what is still there."""

    def __init__(self, size: int):
        self.size = size
        self.position = 0
        self.held: dict[object, tuple[int, int]] = {}

    def copy(self) -> "_Ring":
        """A ring of its own with the same contents."""
        other = copy(self)
        other.held = dict(self.held)
        return other

    def find(self, key: object) -> int | None:
        """Address of an item that has not been overwritten."""
        return self.held[key][0] if key in self.held else None

    def allocate(self, key: object, size: int) -> int:
        """Address for a new item; whatever lay there is forgotten."""
        start = 0 if self.position + size > self.size else self.position
        self.held = {k: (a, b) for k, (a, b) in self.held.items() if b <= start or a >= start + size}
        self.held[key] = (start, start + size)
        self.position = start + size
        return start

    def rewind_for(self, total: int) -> None:
        """Start over at 0 when `total` bytes fit the ring but not what is left of this round."""
        if total <= self.size < self.position + total:
            self.position = 0


class Emitter:
    """Appends commands for one layer after another.

    Parameters
    ----------
    config : AcceleratorConfig
    placement : Placement
    memory : MemoryMap
    homes : dict of Storage to int
        Memory offset of every storage that also (or only) lives in main memory, from `WRITTEN` on if programs write it.
    preloaded : set of Storage
        Storages whose contents are in main memory before the program starts.
    """

    def __init__(self, config: AcceleratorConfig, placement: Placement, memory: MemoryMap, homes: dict[Storage, int],
                 preloaded: set[Storage]):
        self.config = config
        self.placement = placement
        self.memory = memory
        self.homes = homes
        self.layer_index = 0
        self.weights = _Ring(config.weight_bytes)
        self.parameters = _Ring(config.parameter_bytes)
        self.program: Program
        self.layer_starts: list[int] = []  # first command of each layer of the program
        self._unloaded = {storage: 0 for storage in preloaded}  # bytes that have been loaded so far
        self._accumulator_half = 0
        self._accumulators_used = [0, 0]  # next entry of each half

    def begin(self, program: Program) -> None:
        """Continue in another program; the buffers keep their contents."""
        self.program = program
        self.layer_starts = []

    def begin_layer(self, index: int) -> None:
        """Append commands of another layer from now on."""
        self.layer_index = index
        self.layer_starts.append(len(self.program.commands))

    def trial(self, first: int) -> "Emitter":
        """A copy to try plans with: its program begins with command `first`, and memory gets no contents."""
        other = copy(self)
        other.memory = self.memory.trial()
        other.program = self.program.trial(first)
        other.weights, other.parameters = self.weights.copy(), self.parameters.copy()
        other.layer_starts = []
        other._unloaded = dict(self._unloaded)
        other._accumulators_used = list(self._accumulators_used)
        return other

    def append(self, name: str, **arguments) -> None:
        """Append a command of the current layer."""
        self.program.append(name, layer=min(self.layer_index, 4095), **arguments)

    def align(self, size: int) -> int:
        """Round up to whole AXI beats."""
        return -(-size // self.config.axi_bytes) * self.config.axi_bytes

    # Transfers.

    def transfer(self, name: str, memory: int, buffer: int, length: int, *runs: tuple[int, int, int]) -> None:
        """LOAD into or STORE from the activation buffer.

        Parameters
        ----------
        name : str
            "LOAD" or "STORE".
        memory, buffer : int
            First byte.
        length : int
            Contiguous bytes.
        *runs : tuple of (count, memory step, buffer step)
            Loops around it, innermost first; contiguous ones are merged.
        """
        loops: list[tuple[int, int, int]] = []
        for count, memory_step, buffer_step in runs:
            if count == 1:
                continue
            if not loops and memory_step == buffer_step == length and length * count < 1 << 24:
                length *= count
            elif loops and (memory_step, buffer_step) == (loops[-1][0] * loops[-1][1], loops[-1][0] * loops[-1][2]) and (
                    loops[-1][0] * count < 1 << 16):
                loops[-1] = (loops[-1][0] * count, *loops[-1][1:])
            else:
                loops.append((count, memory_step, buffer_step))
        loops += [(1, 0, 0)] * (2 - len(loops))
        (count_1, memory_1, buffer_1), (count_2, memory_2, buffer_2) = loops
        span_memory = (count_1 - 1) * memory_1 + (count_2 - 1) * memory_2 + length
        span_buffer = (count_1 - 1) * buffer_1 + (count_2 - 1) * buffer_2 + length
        # Of main memory, only what programs write can be touched too early.
        outside = (Region("memory", memory - WRITTEN, memory - WRITTEN + span_memory),) if memory >= WRITTEN else ()
        inside = (Region("activation", buffer, buffer + span_buffer),)
        reads, writes = (outside, inside) if name == "LOAD" else (inside, outside)
        self.append(name, reads=reads, writes=writes, memory=memory, buffer=buffer, length=length, count_1=count_1,
                    count_2=count_2, memory_step_1=memory_1, buffer_step_1=buffer_1, memory_step_2=memory_2,
                    buffer_step_2=buffer_2)

    def load_constant(self, space: int, ring: _Ring, key: object, data) -> int:
        """Buffer address of constant data in the weight or parameter ring; loaded unless it is still there.

        `data` is a function that returns (memory offset, bytes), the bytes a multiple of the AXI width.
        """
        address = ring.find(key)
        if address is None:
            offset, size = data()
            address = ring.allocate(key, size)
            name = "weight" if ring is self.weights else "parameter"
            self.append("LOAD", writes=(Region(name, address, address + size),), space=space, memory=offset,
                        buffer=address, length=size, count_1=1, count_2=1)
        return address

    # Tensors.

    def address(self, view: View) -> int | None:
        """Buffer address of a resident view, else None."""
        start = self.placement.resident.get(view.storage)
        return None if start is None else start + view.offset

    def resident_slab(self, view: View) -> Slab:
        """The whole of a resident view."""
        return Slab(self.address(view), view.height, view.width, view.row_pitch, view.pixel_pitch)

    def unloaded(self, view: View) -> bool:
        """Whether some of a view is still to be loaded into its place on chip, or to be staged."""
        storage = view.storage
        return storage not in self.placement.resident or self._unloaded.get(storage, storage.size) < storage.size

    def ensure_loaded(self, view: View, stop: int) -> None:
        """Load a resident storage from its home at least up to byte `stop` of the view."""
        storage = view.storage
        done = self._unloaded.get(storage)
        if done is None or storage not in self.placement.resident:
            return
        stop = min(storage.size, self.align(view.offset + stop))
        if stop > done and storage.columns is not None:
            size = storage.columns.source.height * storage.columns.width * storage.columns.source.channels
            first, last = done // size, -(-stop // size)
            self._load_strips(storage, first, last)
            self._unloaded[storage] = last * size
        elif stop > done:
            least = _LEAST_LOAD_BEATS * self.config.axi_bytes
            stop = max(stop, done + least)
            stop = storage.size if stop + least > storage.size else stop
            self.transfer("LOAD", self.homes[storage] + done, self.placement.resident[storage] + done, stop - done)
            self._unloaded[storage] = stop

    def _load_strips(self, storage: Storage, first: int, last: int) -> None:
        """Load strips `first` to `last` - 1; those that reach beyond the image are filled with its padding before."""
        columns, source = storage.columns, storage.columns.source
        run = columns.width * source.channels
        size = source.height * run
        whole = [strip for strip in range(first, last) if columns.inside(strip)[1] - columns.inside(strip)[0] == columns.width]
        for strip in range(first, last):
            start, stop = columns.inside(strip)
            count = 1
            if strip in whole:
                if strip != whole[0]:
                    continue
                count = len(whole)  # they are neighbours
            buffer = self.placement.resident[storage] + strip * size
            if strip not in whole:
                pad = self.memory.add(bytes([columns.pad & 0xFF]) * size)
                self.transfer("LOAD", pad, buffer, size)
            if stop > start:
                memory = self.homes[source.storage] + source.offset + start * source.pixel_pitch
                buffer += (start - (strip * columns.stride - columns.padding)) * source.channels
                self.transfer("LOAD", memory, buffer, (stop - start) * source.channels, (source.height, source.row_pitch, run),
                              (count, columns.stride * source.pixel_pitch, size))

    def load_block(self, view: View, buffer: int, y: tuple[int, int], x: tuple[int, int], c: tuple[int, int]) -> Slab:
        """Load a block of a tensor in main memory into the buffer, densely."""
        rows, cols, depth = (stop - start for start, stop in (y, x, c))
        memory = self.homes[view.storage] + view.offset + y[0] * view.row_pitch + x[0] * view.pixel_pitch + c[0]
        self.transfer("LOAD", memory, buffer, depth, (cols, view.pixel_pitch, depth), (rows, view.row_pitch, cols * depth))
        return Slab(buffer, rows, cols, cols * depth, depth, y[0], x[0], c[0])

    def store_block(self, view: View, slab: Slab, y: tuple[int, int], x: tuple[int, int], c: tuple[int, int]) -> None:
        """Store a block of a tensor to its home in main memory, if it has one."""
        if view.storage not in self.homes:
            return
        rows, cols, depth = (stop - start for start, stop in (y, x, c))
        memory = self.homes[view.storage] + view.offset + y[0] * view.row_pitch + x[0] * view.pixel_pitch + c[0]
        self.transfer("STORE", memory, slab.locate(y[0], x[0], c[0]), depth, (cols, view.pixel_pitch, slab.pixel_pitch),
                      (rows, view.row_pitch, slab.row_pitch))

    # The vector unit's lane tables.

    def tables(self, key: object, *, reads: tuple[Region, ...] = (), **fields: int) -> LaneTables:
        """Lane tables for a VECTOR command; `fields` are those of the PARAMS command that fills a bank with them."""
        return LaneTables(key, fields, reads)

    def uniform_tables(self, requantization: Requantization, residual: Residual | None = None) -> LaneTables:
        """Tables with one bias, multiplier and exponent for all channels, and operand scales."""
        values = {
            "bias": int(requantization.bias[0]), "multiplier": int(requantization.multiplier[0]),
            "exponent": int(requantization.exponent[0]),
        }
        if residual is not None:
            values |= {"multiplier_a": residual.multiplier_a, "exponent_a": residual.exponent_a,
                       "multiplier_b": residual.multiplier_b, "exponent_b": residual.exponent_b}
        return self.tables(("uniform", *values.items()), bias_immediate=1, scale_immediate=1,
                           channels=self.config.vector_lanes, **values)

    def next_accumulators(self, entries: int) -> int:
        """First of so many accumulator entries to use next: the halves take turns, and each is a ring."""
        depth = self.config.accumulator_depth
        self._accumulator_half ^= 1
        half = self._accumulator_half
        start = self._accumulators_used[half]
        if start + entries > depth:
            start = 0
        self._accumulators_used[half] = start + entries
        return half * depth + start

    def add(self, residual: Residual, a: Slab, b: Slab, target: Slab, y: tuple[int, int], x: tuple[int, int],
            c: tuple[int, int]) -> None:
        """Elementwise ADD of two blocks of equal pixel pitch into a third."""
        depth, cols, rows = c[1] - c[0], x[1] - x[0], y[1] - y[0]
        slabs = (a, b, target)
        if all(s.pixel_pitch == depth for s in slabs) or cols == 1:
            depth, cols = depth * cols, 1
        if cols == 1 and (rows == 1 or all(s.row_pitch == depth for s in slabs)):
            depth, rows, step = depth * rows, 1, rows
        elif len({s.row_pitch for s in slabs[:2]}) > 1:
            step = 1
        else:
            step = rows
        for top in range(y[0], y[1], step):
            first, second, out = (s.locate(top, x[0], c[0]) for s in slabs)
            operands = residual
            if second < first:
                first, second, operands = second, first, residual.swapped()
            touched = [s.region((top, min(top + step, y[1])), x, c) for s in slabs]
            self._add_command(operands, first, second, out, a, target, min(rows, step), cols, depth, touched)

    def _add_command(self, operands: Residual, first: int, second: int, out: int, source: Slab, target: Slab, rows: int,
                     cols: int, depth: int, touched: list[Region]) -> None:
        bank = self.uniform_tables(operands.requantization, operands)
        requantization = operands.requantization
        self.append(
            "VECTOR", source=1, operand_scale=1, bank=bank, rounding=requantization.rounding, base=first, rows=1,
            row_bytes=largest_row_bytes(self.config), y_count=rows, y_addr_step=source.row_pitch, x_count=cols,
            ky_count=1, kx_count=2, x_byte_step=source.pixel_pitch, kx_byte_step=second - first,
            zero_a=operands.zero_a, zero_b=operands.zero_b, zero_out=requantization.zero_out,
            minimum=requantization.minimum, maximum=requantization.maximum, channels=depth,
            destination=out, destination_y=target.row_pitch, destination_x=target.pixel_pitch,
            reads=tuple(touched[:2]), writes=(touched[2],))
