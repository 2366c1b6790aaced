"""Main memory in block RAM behind AXI4, with a second port for single bytes of the host."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2, exact_log2

from systolith.accelerator import accelerator_members
from systolith.axi import AXI_BURST_INCR, AXI_ID_WIDTH
from systolith.block_ram import BlockRam, block_ram
from systolith.delay import delay
from systolith.shapes import MEMORY_WIDTH

__all__ = ["MEMORY_READ_LATENCY", "MainMemory"]

_OKAY, _SLVERR, _DECERR = 0, 2, 3
_BEATS = 8  # reads under way: more than the latency, so that bursts run without gaps
_BANK_WORDS = 1 << 14  # deepest block RAM of the ECP5: a bank needs no multiplexers of its own

MEMORY_READ_LATENCY = BlockRam.read_latency + 2
"""Clock cycles from an accepted read address to the first beat, with nothing else to do."""


class MainMemory(Component):
    """AXI4 subordinate in block RAM: one read and one write burst at a time, a beat per cycle each.

    Bursts must be incrementing and of full width; others are answered with SLVERR, beats outside the memory with DECERR,
    and neither is written. The host reads and writes single bytes with priority over bursts: a UART leaves these nearly
    all cycles.

    Parameters
    ----------
    config : AcceleratorConfig
        Of the manager.
    size : int
        Bytes, a multiple of ``config.axi_bytes``.

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

    def __init__(self, *, config, size):
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"Memory size must be an integer, not {size!r}")
        if size < config.axi_bytes or size % config.axi_bytes:
            raise ValueError(f"Memory size must be a multiple of {config.axi_bytes}, not {size!r}")
        self._config = config
        self._size = size
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

    def elaborate(self, platform):
        m = Module()
        words = self.size // self.config.axi_bytes
        # One RAM a byte: no family's block RAM then needs write enables narrower than a word.
        banks = []
        for first in range(0, words, _BANK_WORDS):
            lanes = []
            for index in range(self.config.axi_bytes):
                lane = block_ram(style=self.config.multiplier_style, width=8, depth=min(_BANK_WORDS, words - first))
                m.submodules[f"bank_{first // _BANK_WORDS}_{index}"] = lane
                lanes.append(lane)
            banks.append(lanes)
        self._read(m, banks)
        self._write(m, banks)
        return m

    @property
    def _offset_bits(self):
        return exact_log2(self.config.axi_bytes)

    def _response(self, prefix):
        """Response to a burst as far as its form decides."""
        good = (getattr(self, prefix + "burst") == AXI_BURST_INCR) & (getattr(self, prefix + "size") == self._offset_bits)
        return Mux(good, _OKAY, _SLVERR)

    def _beat_response(self, address, response):
        return Mux((address >= self.size) & (response == _OKAY), _DECERR, response)

    def _bank(self, word_address):
        """Number of the bank of a word."""
        return word_address[ceil_log2(_BANK_WORDS):ceil_log2(max(self.size // self.config.axi_bytes, _BANK_WORDS + 1))]

    def _read(self, m, banks):
        address, left, response = Signal(MEMORY_WIDTH), Signal(9), Signal(2)
        identifier = Signal(AXI_ID_WIDTH)
        layout = data.StructLayout({"resp": 2, "last": 1, "id": AXI_ID_WIDTH})
        under_way = Signal(range(_BEATS + 1))
        issue = Signal()
        m.d.comb += [
            issue.eq((left != 0) & (under_way != _BEATS) & ~self.host_read),
            self.s_axi_arready.eq((left == 0) | issue & (left == 1)),  # bursts follow each other without a gap
        ]
        with m.If(issue):
            m.d.sync += [address.eq(address + self.config.axi_bytes), left.eq(left - 1)]
        with m.If(self.s_axi_arvalid & self.s_axi_arready):
            m.d.sync += [address.eq(self.s_axi_araddr), left.eq(self.s_axi_arlen + 1), identifier.eq(self.s_axi_arid),
                         response.eq(self._response("s_axi_ar"))]
        read_address = Mux(self.host_read, self.host_addr, address)[self._offset_bits:]
        for lane in sum(banks, []):
            m.d.comb += [lane.r_addr.eq(read_address), lane.r_en.eq(1)]

        latency = BlockRam.read_latency
        beat = Signal(layout)
        m.d.comb += [beat.resp.eq(self._beat_response(address, response)), beat.last.eq(left == 1), beat.id.eq(identifier)]
        arrived = delay(m, issue, latency, name="arrived", reset_less=False)
        about = data.View(layout, delay(m, beat, latency, name="about"))
        bank = delay(m, self._bank(read_address), latency, name="bank")
        words = Array(Cat(lane.r_data for lane in lanes) for lanes in banks)[bank]
        m.submodules.beats = beats = SyncFIFO(width=self.config.axi_data_width + layout.size, depth=_BEATS)
        taken = self.s_axi_rvalid & self.s_axi_rready
        m.d.sync += under_way.eq(under_way + issue - taken)
        m.d.comb += [
            beats.w_en.eq(arrived), beats.w_data.eq(Cat(words, about.as_value())),
            self.s_axi_rvalid.eq(beats.r_rdy), beats.r_en.eq(taken),
            Cat(self.s_axi_rdata, self.s_axi_rresp, self.s_axi_rlast, self.s_axi_rid).eq(beats.r_data),
        ]  # fmt: skip

        lane_number = delay(m, self.host_addr[:self._offset_bits], latency, name="lane_number")
        m.d.sync += [
            self.host_r_valid.eq(delay(m, self.host_read, latency, name="host_arrived", reset_less=False)),
            self.host_r_data.eq(words.word_select(lane_number, 8)),
        ]

    def _write(self, m, banks):
        address, active, response = Signal(MEMORY_WIDTH), Signal(), Signal(2)
        beat_response = self._beat_response(address, response)
        beat = Signal()
        m.d.comb += [
            self.s_axi_awready.eq(~active & ~self.s_axi_bvalid),
            self.s_axi_wready.eq(active & ~self.host_write),
            beat.eq(self.s_axi_wvalid & self.s_axi_wready),
            self.s_axi_bresp.eq(response),
        ]
        with m.If(self.s_axi_awvalid & self.s_axi_awready):
            m.d.sync += [address.eq(self.s_axi_awaddr), self.s_axi_bid.eq(self.s_axi_awid), active.eq(1),
                         response.eq(self._response("s_axi_aw"))]
        with m.If(self.s_axi_bready):
            m.d.sync += self.s_axi_bvalid.eq(0)
        with m.If(beat):
            m.d.sync += [address.eq(address + self.config.axi_bytes), response.eq(beat_response)]
            with m.If(self.s_axi_wlast):
                m.d.sync += [active.eq(0), self.s_axi_bvalid.eq(1)]
        write_address = Mux(self.host_write, self.host_addr, address)[self._offset_bits:]
        for number, lanes in enumerate(banks):
            selected = self._bank(write_address) == number
            for index, lane in enumerate(lanes):
                mine = self.host_addr[:self._offset_bits] == index
                enable = Mux(self.host_write, mine, beat & self.s_axi_wstrb[index] & (beat_response == _OKAY))
                m.d.comb += [
                    lane.w_addr.eq(write_address),
                    lane.w_data.eq(Mux(self.host_write, self.host_w_data, self.s_axi_wdata.word_select(index, 8))),
                    lane.w_en.eq(selected & enable),
                ]
