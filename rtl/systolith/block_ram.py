"""Block RAM with one write port, one read port and registered read data."""

from amaranth import *
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

__all__ = ["BlockRam", "BLOCK_RAM_STYLES", "block_ram"]


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


BLOCK_RAM_STYLES = {"generic": BlockRam, "ecp5": BlockRam}
"""Implementation of the block RAM by name of the style."""


def block_ram(*, style="generic", width, depth, granularity=None, init=()):
    """Return the block RAM of a style; all styles have the ports, latency and results of :class:`BlockRam`.

    Parameters
    ----------
    style : str
        ``"generic"`` or ``"ecp5"``.
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
    return BLOCK_RAM_STYLES[style](width=width, depth=depth, granularity=granularity, init=init)
