"""AXI4-Lite subordinate generated from a register table."""

from functools import reduce
from operator import or_

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from systolith_spec.registers import REGISTERS

__all__ = ["REGISTER_ADDRESS_WIDTH", "RegisterFile", "axi_lite_members"]

REGISTER_ADDRESS_WIDTH = 12
"""Bits of an AXI4-Lite address: the registers occupy a 4 KiB page."""

_OKAY = 0
_SLVERR = 2


def axi_lite_members():
    """Signature members ``s_axil_*`` of an AXI4-Lite subordinate, named as the signals in lower case."""
    address = {"valid": In(1), "ready": Out(1), "addr": In(REGISTER_ADDRESS_WIDTH), "prot": In(3)}
    channels = {
        "aw": address,
        "w": {"valid": In(1), "ready": Out(1), "data": In(32), "strb": In(4)},
        "b": {"valid": Out(1), "ready": In(1), "resp": Out(2)},
        "ar": address,
        "r": {"valid": Out(1), "ready": In(1), "data": Out(32), "resp": Out(2)},
    }
    return {f"s_axil_{channel}{name}": member for channel, members in channels.items()
            for name, member in members.items()}


def _member(entry):
    return f"value_{entry.name.lower()}"


class RegisterFile(Component):
    """Registers behind AXI4-Lite, 32 bits wide.

    Write address and write data are taken independently, in any order, into one register each; the write
    takes place when both are there. Byte strobes are obeyed. Read data is registered. One write and one
    read can be in progress at a time, the channels are independent. Address bits 1..0 and the protection
    type are ignored.

    An address without register reads as zero and is answered with SLVERR, in both directions. Writes to
    read-only registers are ignored.

    Parameters
    ----------
    registers : sequence of Register
        Register table; offsets are multiples of 4 below 4 KiB.
    constants : dict of str to int
        Values of read-only registers that never change; these get no member.

    Members
    -------
    s_axil_awvalid, s_axil_awready, ... : AXI4-Lite
        Subordinate port.
    value_<register name in lower case> : ``In(32)`` for "ro", ``Out(32)`` for "rw" and "wo"
        Value read, value held, or the written bits during one cycle. (The prefix keeps register names away
        from the keywords of Verilog.)

    Raises
    ------
    ValueError
        If the table has an offset twice, an illegal offset or an illegal access, or a constant has no
        read-only register.
    """

    def __init__(self, *, registers=REGISTERS, constants=None):
        constants = dict(constants or {})
        seen = {}
        for entry in registers:
            if entry.offset % 4 or not 0 <= entry.offset < 1 << REGISTER_ADDRESS_WIDTH:
                raise ValueError(f"Offset of register {entry.name} must be a multiple of 4 below "
                                 f"{1 << REGISTER_ADDRESS_WIDTH}, not {entry.offset!r}")
            if entry.offset in seen:
                raise ValueError(f"Offset of register {entry.name} must be its own, not that of "
                                 f"{seen[entry.offset]}: {entry.offset!r}")
            if entry.access not in ("ro", "rw", "wo"):
                raise ValueError(
                    f"Access of register {entry.name} must be ro, rw or wo, not {entry.access!r}")
            seen[entry.offset] = entry.name
        read_only = {entry.name for entry in registers if entry.access == "ro"}
        for name in constants:
            if name not in read_only:
                raise ValueError(f"Constant must be the value of a read-only register, not of {name!r}")
        self._registers = tuple(registers)
        self._constants = constants
        super().__init__({
            **axi_lite_members(),
            **{_member(entry): In(32) if entry.access == "ro" else Out(32)
               for entry in registers if entry.name not in constants},
        })

    @property
    def registers(self):
        """Register table."""
        return self._registers

    @property
    def constants(self):
        """Values of the registers that never change."""
        return dict(self._constants)

    def elaborate(self, platform):
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m):
        # Of the address, what it selects.
        addressed = Signal(len(self.registers))
        word = Signal(32)
        strobes = Signal(4)
        address_held = Signal()
        word_held = Signal()
        m.d.comb += [self.s_axil_awready.eq(~address_held), self.s_axil_wready.eq(~word_held)]
        with m.If(self.s_axil_awvalid & self.s_axil_awready):
            m.d.sync += address_held.eq(1)
            m.d.sync += [addressed[index].eq(self.s_axil_awaddr[2:] == entry.offset // 4)
                         for index, entry in enumerate(self.registers)]
        with m.If(self.s_axil_wvalid & self.s_axil_wready):
            m.d.sync += [word.eq(self.s_axil_wdata), strobes.eq(self.s_axil_wstrb), word_held.eq(1)]

        write = Signal()
        written = Signal()
        m.d.comb += write.eq(address_held & word_held & ~written & ~self.s_axil_bvalid)
        m.d.sync += written.eq(write)
        with m.If(self.s_axil_bready):
            m.d.sync += self.s_axil_bvalid.eq(0)
        with m.If(written):
            # A cycle later than needed, so that the effects of a strobe precede the response.
            m.d.sync += self.s_axil_bvalid.eq(1)
        with m.If(write):
            m.d.sync += [
                address_held.eq(0), word_held.eq(0), self.s_axil_bresp.eq(Mux(addressed.any(), _OKAY, _SLVERR)),
            ]
        for index, entry in enumerate(self.registers):
            selected = Signal(name=f"write_{entry.name.lower()}")
            m.d.comb += selected.eq(write & addressed[index])
            if entry.access != "ro":
                self._write_register(m, entry, selected, word, strobes)

    def _write_register(self, m, entry, selected, word, strobes):
        output = getattr(self, _member(entry))
        writable = sum(((1 << field.width) - 1) << field.lsb for field in entry.fields) or (1 << 32) - 1
        if entry.access == "wo":
            strobe = Signal(32, name=f"strobe_{entry.name.lower()}")
            bits = Cat(enable.replicate(8) for enable in strobes)
            m.d.sync += strobe.eq(Mux(selected, word & bits & writable, 0))
            m.d.comb += output.eq(strobe)
        else:
            held = Signal(32, name=f"held_{entry.name.lower()}", init=entry.reset)
            for byte, enable in enumerate(strobes):
                with m.If(selected & enable):
                    m.d.sync += held.word_select(byte, 8).eq((word & writable).word_select(byte, 8))
            m.d.comb += output.eq(held)

    def _read(self, m):
        # Decoded before it is registered: what follows is one wide and-or, shallower than a multiplexer.
        selected = Signal(len(self.registers))
        address_held = Signal()
        read = Signal()
        m.d.comb += [
            self.s_axil_arready.eq(~address_held),
            read.eq(address_held & (~self.s_axil_rvalid | self.s_axil_rready)),
        ]
        with m.If(self.s_axil_arvalid & self.s_axil_arready):
            m.d.sync += address_held.eq(1)
        with m.If(~address_held):
            m.d.sync += [selected[index].eq(self.s_axil_araddr[2:] == entry.offset // 4)
                         for index, entry in enumerate(self.registers)]
        with m.If(self.s_axil_rready):
            m.d.sync += self.s_axil_rvalid.eq(0)
        with m.If(read):
            terms = [self._value(entry) & selected[index].replicate(32) for index, entry in enumerate(self.registers)]
            m.d.sync += [
                address_held.eq(0),
                self.s_axil_rvalid.eq(1),
                self.s_axil_rdata.eq(reduce(or_, terms)),
                self.s_axil_rresp.eq(Mux(selected.any(), _OKAY, _SLVERR)),
            ]

    def _value(self, entry):
        if entry.access == "wo":
            return Const(0, 32)
        if entry.name in self._constants:
            return Const(self._constants[entry.name], 32)
        return getattr(self, _member(entry))
