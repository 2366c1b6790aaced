"""Block RAM with one write port, one read port and registered read data."""

from amaranth import *
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

__all__ = ["BlockRam", "Ecp5BlockRam", "BLOCK_RAM_STYLES", "block_ram"]


class BlockRam(Component):
    """Simple dual-port RAM of ``depth`` words of ``width`` bits whose reads take two clock cycles.

    Dataflow of a read: the address and ``r_en`` are sampled at the first clock edge (register of the RAM),
    the second edge moves the word into the output register. ``r_data`` therefore shows the word addressed
    two cycles before; while ``r_en`` is low the RAM register keeps its word, so ``r_data`` repeats the last
    word read. The output register runs freely.

    A write becomes visible to reads sampled at later edges. A read and a write of the same address at the
    same edge give an **undefined word** on hardware (the simulation shows the old one): users must not read
    what they are just writing.

    Parameters
    ----------
    width : int
        Bits per word.
    depth : int
        Number of words.
    granularity : int or None
        Bits per write-enable bit; ``None`` for one enable for the whole word. Must divide ``width``.
    init : iterable of int
        Initial words, from address 0; the rest are zero.

    Members
    -------
    r_addr : ``In(ceil_log2(depth))``
        Address to read.
    r_en : ``In(1)``
        Read enable.
    r_data : ``Out(width)``
        Word addressed two cycles before.
    w_addr : ``In(ceil_log2(depth))``
        Address to write.
    w_en : ``In(width // granularity)``
        Write enable of each group of ``granularity`` bits, lowest bits first.
    w_data : ``In(width)``
        Word to write.

    Raises
    ------
    TypeError
        If ``width``, ``depth`` or ``granularity`` is not an integer.
    ValueError
        If a size is not positive, ``granularity`` does not divide ``width`` or ``init`` is longer than
        ``depth``.
    """

    read_latency = 2
    """Clock cycles from a sampled read address to its word on ``r_data``."""

    def __init__(self, *, width, depth, granularity=None, init=()):
        for name, value in (("width", width), ("depth", depth), ("granularity", granularity)):
            if name == "granularity" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"Block RAM {name} must be an integer, not {value!r}")
            if value < 1:
                raise ValueError(f"Block RAM {name} must be positive, not {value!r}")
        if granularity is not None and width % granularity != 0:
            raise ValueError(f"Block RAM granularity must divide the width {width}, not {granularity!r}")
        init = tuple(init)
        if len(init) > depth:
            raise ValueError(f"Block RAM init must be at most {depth} words, not {len(init)} words")
        self._width = width
        self._depth = depth
        self._granularity = granularity
        self._init = init
        address_width = ceil_log2(depth)
        super().__init__({
            "r_addr": In(address_width),
            "r_en": In(1),
            "r_data": Out(width),
            "w_addr": In(address_width),
            "w_en": In(1 if granularity is None else width // granularity),
            "w_data": In(width),
        })  # fmt: skip

    @property
    def width(self):
        """Bits per word."""
        return self._width

    @property
    def depth(self):
        """Number of words."""
        return self._depth

    @property
    def granularity(self):
        """Bits per write-enable bit, or ``None``."""
        return self._granularity

    @property
    def init(self):
        """Initial words."""
        return self._init

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(
            shape=self.width, depth=self.depth, init=self.init, attrs={"no_rw_check": 1}
        )
        write_port = memory.write_port(granularity=self.granularity)
        read_port = memory.read_port()
        m.d.comb += [
            write_port.addr.eq(self.w_addr),
            write_port.en.eq(self.w_en),
            write_port.data.eq(self.w_data),
            read_port.addr.eq(self.r_addr),
            read_port.en.eq(self.r_en),
        ]
        s1_data = Signal(self.width, reset_less=True)
        m.d.sync += s1_data.eq(read_port.data)
        m.d.comb += self.r_data.eq(s1_data)
        return m


class Ecp5BlockRam(BlockRam):
    """:class:`BlockRam` as ``DP16KD`` cells which use their own output registers.

    The cells that yosys infers leave this register unused, and 5.8 ns from clock to output (speed grade 6)
    then limit the clock to 134 MHz. Port A writes, port B reads; the depth sets the shape of the cells, from
    512 words of 36 bits to 16,384 words of 1 bit. A RAM that is deeper, or that has initial words other than
    zero, is left to inference. The cells have no simulation model in Amaranth: simulate :class:`BlockRam`,
    which behaves the same.
    """

    # Words and bits per word of one cell, shallowest first.
    _CELL_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
    # Pins carry the address of a bit; so many of the lower ones are not part of the word's address.
    _ADDRESS_SHIFT = {36: 5, 18: 4, 9: 3, 4: 2, 2: 1, 1: 0}
    _LANE_WIDTH = 9  # bits for each write enable of a cell

    def elaborate(self, platform):
        cell_width = next((bits for words, bits in self._CELL_SHAPES if self.depth <= words), None)
        if cell_width is None or any(self.init):
            return super().elaborate(platform)
        m = Module()
        lanes = self._lanes(min(cell_width, self._LANE_WIDTH))
        lanes_per_cell = max(cell_width // self._LANE_WIDTH, 1)
        for index, first in enumerate(range(0, len(lanes), lanes_per_cell)):
            self._add_cell(m, f"dp16kd_{index}", lanes[first : first + lanes_per_cell], cell_width)
        return m

    def _lanes(self, lane_width):
        """Return ``(first bit, end bit, write enable)`` of pieces of up to ``lane_width`` bits."""
        group_width = self.width if self.granularity is None else self.granularity
        return [
            (first, min(first + lane_width, group + group_width), self.w_en[group // group_width])
            for group in range(0, self.width, group_width)
            for first in range(group, group + group_width, lane_width)
        ]

    def _add_cell(self, m, name, lanes, cell_width):
        """Add one cell to ``m`` which holds some lanes of all words."""
        lane_width = min(cell_width, self._LANE_WIDTH)
        write_data = Signal(36, name=f"{name}_write_data")
        read_data = Signal(36, name=f"{name}_read_data")
        enables = Signal(len(lanes), name=f"{name}_enables")
        for index, (first, end, enable) in enumerate(lanes):
            span = slice(index * lane_width, index * lane_width + end - first)
            m.d.comb += [
                enables[index].eq(enable),
                write_data[span].eq(self.w_data[first:end]),
                self.r_data[first:end].eq(read_data[span]),
            ]
        write_address = Signal(14, name=f"{name}_write_address")
        read_address = Signal(14, name=f"{name}_read_address")
        shift = self._ADDRESS_SHIFT[cell_width]
        # Cells of 18 and 36 bits take the write enables of their lanes at the address pins below the word's.
        write_enable = Const(1) if cell_width >= 18 else enables[0]
        m.d.comb += [
            write_address.eq((self.w_addr << shift) | (enables if cell_width >= 18 else 0)),
            read_address.eq(self.r_addr << shift),
        ]
        pins = {}
        for bit in range(14):
            pins[f"i_ADA{bit}"] = write_address[bit]
            pins[f"i_ADB{bit}"] = read_address[bit]
        for bit in range(18):
            pins[f"i_DIA{bit}"] = write_data[bit]
            pins[f"i_DIB{bit}"] = write_data[bit + 18]
            if cell_width == 36:  # both halves belong to one port: A writes, B reads
                pins[f"o_DOA{bit}"] = read_data[bit]
                pins[f"o_DOB{bit}"] = read_data[bit + 18]
            else:
                pins[f"o_DOB{bit}"] = read_data[bit]
        m.submodules[name] = Instance(
            "DP16KD",
            p_DATA_WIDTH_A=cell_width, p_DATA_WIDTH_B=cell_width,
            p_REGMODE_A="OUTREG" if cell_width == 36 else "NOREG", p_REGMODE_B="OUTREG",
            p_WRITEMODE_A="NORMAL", p_WRITEMODE_B="NORMAL", p_RESETMODE="SYNC", p_GSR="AUTO",
            p_CSDECODE_A="0b000", p_CSDECODE_B="0b000",
            i_CLKA=ClockSignal(), i_CEA=Const(1), i_OCEA=Const(1), i_WEA=write_enable, i_RSTA=Const(0),
            i_CLKB=ClockSignal(), i_CEB=self.r_en, i_OCEB=Const(1), i_WEB=Const(0), i_RSTB=Const(0),
            **{f"i_CS{port}{bit}": Const(0) for port in "AB" for bit in range(3)},
            **pins,
        )  # fmt: skip


BLOCK_RAM_STYLES = ("generic", "ecp5", "ice40", "gowin", "nexus")
"""Names of the styles; all but the first are FPGA families."""


def block_ram(*, style="generic", width, depth, granularity=None, init=()):
    """Return the block RAM of a style; all styles have the ports, latency and results of :class:`BlockRam`.

    Parameters
    ----------
    style : str
        One of :data:`BLOCK_RAM_STYLES`.
    width, depth, granularity, init
        See :class:`BlockRam`.

    Returns
    -------
    BlockRam

    Raises
    ------
    ValueError
        If there is no such style.
    """
    if style not in BLOCK_RAM_STYLES:
        raise ValueError(f"Block RAM style must be one of {', '.join(BLOCK_RAM_STYLES)}, not {style!r}")
    from systolith.primitives.families import BLOCK_RAMS  # which builds on this module

    return BLOCK_RAMS[style](width=width, depth=depth, granularity=granularity, init=init)
