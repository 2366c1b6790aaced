"""Main memory on the FPGA behind AXI4, with a second port for single bytes of the host."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2, exact_log2

from systolith.accelerator import accelerator_members
from systolith.axi import AXI_BURST_INCR, AXI_ID_WIDTH
from systolith.block_ram import BlockRam, block_ram
from systolith.delay import delay
from systolith.primitives.families import SINGLE_PORT_RAMS
from systolith.shapes import MEMORY_WIDTH

__all__ = ["MEMORY_READ_LATENCY", "MainMemory"]

_OKAY, _SLVERR, _DECERR = 0, 2, 3
_BEATS = 8  # reads under way: more than the latency, so that bursts run without gaps
_BANK_WORDS = 1 << 14  # deepest block RAM of the ECP5: a bank needs no multiplexers of its own

_RAM_LATENCY = 1 + BlockRam.read_latency + 1  # registers before the RAM, for addresses cross the chip, and after its banks

MEMORY_READ_LATENCY = _RAM_LATENCY + 2
"""Clock cycles from an accepted read address to the first beat, with nothing else to do."""


def _within(address, first, size):
    """Whether a word is in a bank, which starts at a multiple of its size."""
    return address[exact_log2(size):] == first // size


class _RamAccess:
    """What bursts and host ask of the RAM: a word to read, bytes of a word to write, in each cycle."""

    def __init__(self, words, word_bytes):
        self.r_addr, self.w_addr = (Signal(ceil_log2(words), name=f"{name}_addr") for name in "rw")
        self.r_go = Signal()
        self.w_en = Signal(word_bytes)
        self.w_data, self.r_data = (Signal(8 * word_bytes, name=f"{name}_data") for name in "wr")


class MainMemory(Component):
    """AXI4 subordinate in block RAM: one read and one write burst at a time, a beat per cycle each; or in single-port RAM,
    where a beat is read or written per cycle, in turns if there are both bursts. Words of single-port RAM may be narrower than
    the bus, so that any number of RAM blocks is of use: a beat then takes a cycle for each of its words, lowest first.

    Bursts must be incrementing and of full width; others are answered with SLVERR, beats outside the memory with DECERR,
    and neither is written. The host reads and writes single bytes with priority over bursts: a UART leaves these nearly
    all cycles. Registers stand before the RAMs and after their banks, for both are all over the chip.

    Parameters
    ----------
    config : AcceleratorConfig
        Of the manager.
    size : int
        Bytes, a multiple of ``config.axi_bytes``.
    single_port : bool
        Use the single-port RAM of the family.
    ram_width : int or None
        Bits of a word of single-port RAM: those of the bus, which is what ``None`` stands for, or a power of two below, at
        least 8.

    Members
    -------
    s_axi_* : AXI4 subordinate
    host_addr : ``In(32)``
        Byte address, below ``size``.
    host_write, host_w_data : ``In(1)``, ``In(8)``
        Write a byte.
    host_read : ``In(1)``
        Read a byte; not together with ``host_write``.
    host_r_valid, host_r_data : ``Out(1)``, ``Out(8)``
        The byte, some cycles later. One read at a time.
    """

    def __init__(self, *, config, size, single_port=False, ram_width=None):
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"Memory size must be an integer, not {size!r}")
        if size < config.axi_bytes or size % config.axi_bytes:
            raise ValueError(f"Memory size must be a multiple of {config.axi_bytes}, not {size!r}")
        widths = [8 << step for step in range(exact_log2(config.axi_bytes) + 1 if single_port else 0)]
        if ram_width is not None and ram_width not in widths:
            raise ValueError(f"Memory RAM width must be None{''.join(f' or {width}' for width in widths)}, not {ram_width!r}")
        self._config = config
        self._size = size
        self._single_port = single_port
        self._word_bytes = (ram_width or config.axi_data_width) // 8
        super().__init__({
            **{name.replace("m_axi_", "s_axi_"): member.flip() for name, member in accelerator_members(config).items()
               if name.startswith("m_axi_")},
            "host_addr": In(MEMORY_WIDTH), "host_write": In(1), "host_w_data": In(8), "host_read": In(1),
            "host_r_valid": Out(1), "host_r_data": Out(8),
        })  # fmt: skip

    @property
    def config(self):
        """Configuration of the manager."""
        return self._config

    @property
    def size(self):
        """Bytes."""
        return self._size

    @property
    def single_port(self):
        """Whether the RAM has one port."""
        return self._single_port

    @property
    def _words(self):
        return self.size // self._word_bytes

    @property
    def _parts(self):
        """Words of a beat."""
        return self.config.axi_bytes // self._word_bytes

    def elaborate(self, platform):
        m = Module()
        ram = _RamAccess(self._words, self._word_bytes)
        (self._single_port_ram if self.single_port else self._block_rams)(m, ram)
        # What takes the RAM from the bursts. Whose turn it is does not depend on the channels, which would be a long path.
        reading, writing, turn = Signal(), Signal(), Signal()
        m.d.sync += turn.eq(~turn)
        only = Const(int(self.single_port))
        self._read(m, ram, reading, blocked=self.host_read | only & (self.host_write | writing & turn))
        self._write(m, ram, writing, blocked=self.host_write | only & (self.host_read | reading & ~turn))
        return m

    def _single_port_ram(self, m, access):
        m.submodules.ram = ram = SINGLE_PORT_RAMS[self.config.multiplier_style](
            width=8 * self._word_bytes, depth=self._words, granularity=8)
        writing = access.w_en.any()
        m.d.sync += [ram.addr.eq(Mux(writing, access.w_addr, access.r_addr)), ram.en.eq(access.r_go | writing),
                     ram.w_en.eq(access.w_en), ram.w_data.eq(access.w_data), access.r_data.eq(ram.r_data)]

    def _banks(self):
        """First word and size of each bank: powers of two, largest first, so that no block RAM is partly used."""
        first = 0
        while first < self._words:
            size = min(_BANK_WORDS, 1 << (self._words - first).bit_length() - 1)
            yield first, size
            first += size

    def _block_rams(self, m, access):
        """Banks of RAMs of a byte each: no family's block RAM then needs write enables narrower than a word."""
        words = 0
        for number, (first, size) in enumerate(self._banks()):
            lanes = []
            for index in range(self.config.axi_bytes):
                lane = block_ram(style=self.config.multiplier_style, width=8, depth=size)
                m.submodules[f"bank_{number}_{index}"] = lane
                m.d.comb += lane.r_en.eq(1)
                m.d.sync += [
                    lane.r_addr.eq(access.r_addr), lane.w_addr.eq(access.w_addr),
                    lane.w_data.eq(access.w_data.word_select(index, 8)),
                    lane.w_en.eq(access.w_en[index] & _within(access.w_addr, first, size)),
                ]  # fmt: skip
                lanes.append(lane.r_data)
            chosen = delay(m, _within(access.r_addr, first, size), 1 + BlockRam.read_latency, name=f"bank_{number}")
            words |= Cat(lanes) & chosen.replicate(len(access.r_data))
        m.d.sync += access.r_data.eq(words)

    @property
    def _offset_bits(self):
        return exact_log2(self._word_bytes)

    def _first_word(self, address):
        """Address of the first word of a beat: bursts need not be aligned."""
        whole = exact_log2(self.config.axi_bytes)
        return Cat(Const(0, whole), address[whole:])

    def _part(self, address):
        """Number of a word in its beat."""
        return address[self._offset_bits:exact_log2(self.config.axi_bytes)] if self._parts > 1 else Const(0)

    def _last_part(self, address):
        return self._part(address) == self._parts - 1

    def _response(self, prefix):
        """Response to a burst as far as its form decides."""
        good = (getattr(self, prefix + "burst") == AXI_BURST_INCR) & (
            getattr(self, prefix + "size") == exact_log2(self.config.axi_bytes))
        return Mux(good, _OKAY, _SLVERR)

    def _beat_response(self, address, response):
        return Mux((address >= self.size) & (response == _OKAY), _DECERR, response)

    def _read(self, m, ram, active, *, blocked):
        address, left, response = Signal(MEMORY_WIDTH), Signal(9), Signal(2)
        identifier = Signal(AXI_ID_WIDTH)
        layout = data.StructLayout({"resp": 2, "last": 1, "id": AXI_ID_WIDTH})
        under_way = Signal(range(_BEATS + 1))
        issue, whole = Signal(), Signal()
        m.d.comb += [
            active.eq(left != 0),
            issue.eq(active & (under_way != _BEATS) & ~blocked),
            whole.eq(issue & self._last_part(address)),
            self.s_axi_arready.eq(~active | whole & (left == 1)),  # bursts follow each other without a gap
        ]
        with m.If(issue):
            m.d.sync += address.eq(address + self._word_bytes)
        with m.If(whole):
            m.d.sync += left.eq(left - 1)
        with m.If(self.s_axi_arvalid & self.s_axi_arready):
            m.d.sync += [address.eq(self._first_word(self.s_axi_araddr)), left.eq(self.s_axi_arlen + 1),
                         identifier.eq(self.s_axi_arid), response.eq(self._response("s_axi_ar"))]
        m.d.comb += [
            ram.r_addr.eq(Mux(self.host_read, self.host_addr, address)[self._offset_bits:]),
            ram.r_go.eq(issue | self.host_read),
        ]

        beat = Signal(layout)
        m.d.comb += [beat.resp.eq(self._beat_response(address, response)), beat.last.eq(left == 1), beat.id.eq(identifier)]
        arrived = delay(m, whole, _RAM_LATENCY, name="arrived", reset_less=False)
        about = data.View(layout, delay(m, beat, _RAM_LATENCY, name="about"))
        m.submodules.beats = beats = SyncFIFO(width=self.config.axi_data_width + layout.size, depth=_BEATS)
        taken = self.s_axi_rvalid & self.s_axi_rready
        m.d.sync += under_way.eq(under_way + whole - taken)
        m.d.comb += [
            beats.w_en.eq(arrived), beats.w_data.eq(Cat(self._earlier_words(m, ram, issue), ram.r_data, about.as_value())),
            self.s_axi_rvalid.eq(beats.r_rdy), beats.r_en.eq(taken),
            Cat(self.s_axi_rdata, self.s_axi_rresp, self.s_axi_rlast, self.s_axi_rid).eq(beats.r_data),
        ]  # fmt: skip

        lane_number = delay(m, self.host_addr[:self._offset_bits], _RAM_LATENCY, name="lane_number")
        m.d.sync += [
            self.host_r_valid.eq(delay(m, self.host_read, _RAM_LATENCY, name="host_arrived", reset_less=False)),
            self.host_r_data.eq(ram.r_data.word_select(lane_number, 8)),
        ]

    def _earlier_words(self, m, ram, issue):
        """Words of a beat before its last: those of the host may come in between."""
        if self._parts == 1:
            return Const(0, 0)
        words = Signal(8 * (self.config.axi_bytes - self._word_bytes), reset_less=True)
        with m.If(delay(m, issue, _RAM_LATENCY, name="word_arrived", reset_less=False)):
            m.d.sync += words.eq(Cat(words, ram.r_data)[len(ram.r_data):])
        return words

    def _write(self, m, ram, active, *, blocked):
        address, response = Signal(MEMORY_WIDTH), Signal(2)
        writing, beat = Signal(), Signal()
        part = self._part(address)
        beat_response = self._beat_response(address, response)
        m.d.comb += [
            self.s_axi_awready.eq(~active & ~self.s_axi_bvalid),
            self.s_axi_wready.eq(active & ~blocked & self._last_part(address)),
            writing.eq(self.s_axi_wvalid & active & ~blocked),
            beat.eq(self.s_axi_wvalid & self.s_axi_wready),
            self.s_axi_bresp.eq(response),
        ]
        with m.If(self.s_axi_awvalid & self.s_axi_awready):
            m.d.sync += [address.eq(self._first_word(self.s_axi_awaddr)), self.s_axi_bid.eq(self.s_axi_awid), active.eq(1),
                         response.eq(self._response("s_axi_aw"))]
        with m.If(self.s_axi_bready):
            m.d.sync += self.s_axi_bvalid.eq(0)
        with m.If(writing):
            m.d.sync += address.eq(address + self._word_bytes)
        with m.If(beat):
            m.d.sync += response.eq(beat_response)
            with m.If(self.s_axi_wlast):
                m.d.sync += [active.eq(0), self.s_axi_bvalid.eq(1)]
        mine = 1 << self.host_addr[:self._offset_bits]
        strobes = self.s_axi_wstrb.word_select(part, self._word_bytes)
        burst = strobes & (writing & (beat_response == _OKAY)).replicate(len(ram.w_en))
        m.d.comb += [
            ram.w_addr.eq(Mux(self.host_write, self.host_addr, address)[self._offset_bits:]),
            ram.w_data.eq(Mux(self.host_write, self.host_w_data.replicate(len(ram.w_en)),
                              self.s_axi_wdata.word_select(part, 8 * self._word_bytes))),
            ram.w_en.eq(Mux(self.host_write, mine, burst)),
        ]
