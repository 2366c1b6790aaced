"""AXI4-Lite subordinate whose registers are words of the sequencer's RAM."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from systolith.register_file import axi_lite_members
from systolith_spec.registers import REGISTERS, register

__all__ = ["HostPort"]

_OKAY, _SLVERR = 0, 2
_START, _CLEAR, _ABORT = (field.lsb for field in register("CONTROL").fields)


class HostPort(Component):
    """Registers behind AXI4-Lite.

    Those that are held, and the counters, are words of the RAM; CONTROL, STATUS and INTERRUPT are here. One write and one
    read can be in progress at a time. An address without register reads as zero and is answered with SLVERR.

    Members
    -------
    s_axil_* : AXI4-Lite subordinate
    irq : ``Out(1)``
        Interrupt, high while done and enabled.
    read, write, ... :
        The port of the host at :class:`~systolith.serial.sequencer.Sequencer`.
    open : ``In(1)``
        The program is ready for accesses; until the next start.
    ended, failed : ``In(1)``
        The run has ended (pulses).
    running : ``Out(1)``
        From start to end.
    start : ``Out(1)``
        Start of a run.
    aborted : ``Out(1)``
        The host has asked for the end of the run; until its end.
    """

    def __init__(self):
        super().__init__({
            **axi_lite_members(), "irq": Out(1),
            "read": Out(1), "read_index": Out(6), "read_ready": In(1), "word": In(32),
            "write": Out(4), "write_index": Out(6), "data": Out(32), "write_ready": In(1),
            "open": In(1), "ended": In(1), "failed": In(1), "running": Out(1), "start": Out(1), "aborted": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        opened, done, error, enabled = Signal(), Signal(), Signal(), Signal()
        control = self._write(m, opened, enabled)
        m.d.comb += [
            self.start.eq(control[_START] & ~self.running),
            self.irq.eq(done & enabled),
        ]
        with m.If(control[_CLEAR]):
            m.d.sync += [done.eq(0), error.eq(0)]
        with m.If(control[_ABORT] & self.running):
            m.d.sync += self.aborted.eq(1)
        with m.If(self.start):
            m.d.sync += [self.running.eq(1), done.eq(0), error.eq(0), opened.eq(0)]
        with m.If(self.ended | self.failed):
            m.d.sync += [self.running.eq(0), done.eq(1), error.eq(self.failed), self.aborted.eq(0)]
        with m.If(self.open):
            m.d.sync += opened.eq(1)
        self._read(m, opened, Cat(self.running, done, error), enabled)
        return m

    @staticmethod
    def _known(index):
        """There is a register at this word of the page."""
        return sum((index == entry.offset // 4) for entry in REGISTERS)[0]

    def _write(self, m, opened, enabled):
        """Write channels; returns the strobes of CONTROL."""
        held, index = Signal(), Signal(10, reset_less=True)
        control = Signal(3)
        write, written = Signal(), Signal()
        m.d.comb += [
            self.s_axil_awready.eq(~held),
            write.eq(held & self.s_axil_wvalid & opened & self.write_ready & ~written & ~self.s_axil_bvalid),
            self.s_axil_wready.eq(write),
            self.write_index.eq(index),
            self.data.eq(self.s_axil_wdata),
        ]
        with m.If(self.s_axil_awvalid & ~held):
            m.d.sync += [held.eq(1), index.eq(self.s_axil_awaddr[2:])]
        with m.If(self.s_axil_bready):
            m.d.sync += self.s_axil_bvalid.eq(0)
        # A cycle later than needed, so that the effects of a strobe precede the response.
        m.d.sync += written.eq(write)
        with m.If(written):
            m.d.sync += self.s_axil_bvalid.eq(1)
        strobes, word = self.s_axil_wstrb, self.s_axil_wdata
        m.d.sync += control.eq(0)
        with m.If(write):
            m.d.sync += [held.eq(0), self.s_axil_bresp.eq(Mux(self._known(index), _OKAY, _SLVERR))]
            with m.Switch(index):
                with m.Case(*(entry.offset // 4 for entry in REGISTERS
                              if entry.access == "rw" and entry.name != "INTERRUPT")):
                    m.d.comb += self.write.eq(strobes)
                with m.Case(register("CONTROL").offset // 4):
                    m.d.sync += control.eq(word[:3] & strobes[0].replicate(3))
                with m.Case(register("INTERRUPT").offset // 4), m.If(strobes[0]):
                    m.d.sync += enabled.eq(word[0])
        return control

    def _read(self, m, opened, status, enabled):
        """Read channels."""
        held, index = Signal(), Signal(10, reset_less=True)
        reading = Signal()
        known, blank, is_status, is_enabled = (Signal(name=name, reset_less=True)
                                               for name in ("known", "blank", "is_status", "is_enabled"))
        with m.If(self.s_axil_arvalid & self.s_axil_arready):
            m.d.sync += [held.eq(1), index.eq(self.s_axil_araddr[2:])]
        m.d.comb += [
            self.s_axil_arready.eq(~held & ~reading & ~self.s_axil_rvalid),
            self.read.eq(held & opened & ~reading),
            self.read_index.eq(index),
        ]
        m.d.sync += reading.eq(self.read & self.read_ready)
        with m.If(reading):
            m.d.sync += held.eq(0)
        with m.If(held):
            m.d.sync += [
                known.eq(self._known(index)),
                is_status.eq(index == register("STATUS").offset // 4),
                is_enabled.eq(index == register("INTERRUPT").offset // 4),
                # Of the last run, if that has failed.
                blank.eq(((index == register("ERROR").offset // 4) | (index == register("ERROR_ADDRESS").offset // 4))
                         & ~status[2]),
            ]
        with m.If(self.s_axil_rready):
            m.d.sync += self.s_axil_rvalid.eq(0)
        own = Mux(is_status, status, 0) | (is_enabled & enabled)
        with m.If(reading):
            m.d.sync += [
                self.s_axil_rvalid.eq(1),
                self.s_axil_rresp.eq(Mux(known, _OKAY, _SLVERR)),
                self.s_axil_rdata.eq(Mux(known & ~blank & ~is_status & ~is_enabled, self.word, own)),
            ]
