"""Activation buffer: banked, with unaligned reads and writes and fixed priorities."""

from amaranth import *
from amaranth.lib.wiring import Component, In
from amaranth.utils import exact_log2

from systolith.ports import ActivationReadPort, ActivationWritePort
from systolith.rotating_ram import RotatingRam

__all__ = ["ActivationBuffer"]


class ActivationBuffer(Component):
    """Byte-addressed memory of ``config.activation_bytes`` with three readers and two writers.

    The top address bits select one of ``config.activation_banks`` banks; each is a :class:`RotatingRam` and
    serves one read and one write a cycle. An access that runs over the end of a bank uses two banks (of the
    last bank: the last and the first). Within a bank a reader waits for the store, then the vector reader,
    the compute reader comes last; of the writers the vector unit goes first.

    Addresses of accepted reads are registered, and the words that come out of the banks are put together lane
    by lane for each reader, since the lanes of one access may come from two banks.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    store_read, vector_read, compute_read : ``In(ActivationReadPort.Signature(config))``
        Readers, highest priority first.
    compute_urgent : ``In(1)``
        From a register: the compute reader goes before the others, which wait for the bank of its address
        even while it does not ask.
    vector_write, load_write : ``In(ActivationWritePort.Signature(config))``
        Writers, highest priority first.
    """

    read_latency = RotatingRam.read_latency
    """Clock cycles from an accepted read to its data."""

    def __init__(self, *, config):
        self._config = config
        read = In(ActivationReadPort.Signature(config))
        write = In(ActivationWritePort.Signature(config))
        super().__init__(
            {
                "store_read": read,
                "vector_read": read,
                "compute_read": read,
                "compute_urgent": In(1),
                "vector_write": write,
                "load_write": write,
            }
        )

    @property
    def config(self):
        """Configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        lanes, banks = config.activation_word, config.activation_banks
        rams = []
        for bank in range(banks):
            ram = RotatingRam(
                lanes=lanes, lane_width=8, rows=config.activation_bytes // banks // lanes, style=config.multiplier_style
            )
            m.submodules[f"bank_{bank}"] = ram
            rams.append(ram)

        readers = {"store": self.store_read, "vector": self.vector_read, "compute": self.compute_read}
        requests = self._arbitrate(m, readers, "read", urgent=self.compute_urgent)
        for bank, ram in enumerate(rams):
            self._select(m, ram.r_addr, requests, bank, "addr")
            # More often than is granted, which harms nobody and keeps the grant out of it.
            m.d.comb += ram.r_en.eq(Cat(port.valid for port in readers.values()).any())
        for name, port in readers.items():
            self._elaborate_response(m, name, port, rams)

        requests = self._arbitrate(m, {"vector": self.vector_write, "load": self.load_write}, "write")
        for bank, ram in enumerate(rams):
            self._select(m, ram.w_addr, requests, bank, "addr")
            self._select(m, ram.w_mask, requests, bank, "mask")
            self._select(m, ram.w_data, requests, bank, "data")
            m.d.comb += [
                ram.w_en[0].eq(Cat(first[bank] for _, _, first, _ in requests).any()),
                ram.w_en[1].eq(Cat(second[bank] for _, _, _, second in requests).any()),
            ]
        return m

    def _fields(self, addr):
        """Split an address into offset in the word, word of the bank and bank."""
        offset_width = exact_log2(self.config.activation_word)
        bank_width = exact_log2(self.config.activation_banks)
        width = exact_log2(self.config.activation_bytes)
        return addr[:offset_width], addr[offset_width : width - bank_width], addr[width - bank_width : width]

    def _straddles(self, addr):
        """Whether the lanes of an access lie in two banks."""
        offset, word, _ = self._fields(addr)
        return word.all() & offset.any() if self.config.activation_banks > 1 else Const(0)

    def _arbitrate(self, m, ports, direction, urgent=None):
        """Grant requests, first port first; the last port before all others while ``urgent`` is high.

        A port claims the following bank too when it may straddle (:func:`~systolith.ports.activation_claim`), which costs
        others a cycle now and then near the end of a bank but keeps the comparison of addresses out of the grant.

        Returns (port, wants, first, second) for each port: bit k of ``wants`` says that the port asks for
        bank k; bit k of ``first`` and ``second`` that it was granted bank k for the lanes in the bank of its
        address and for those in the following bank.
        """
        banks = self.config.activation_banks
        taken = blocked = Const(0, banks)
        if urgent is not None:
            blocked = Signal(banks, name=f"{direction}_blocked")
            m.d.comb += blocked.eq(Mux(urgent, list(ports.values())[-1].claim, 0))
        requests = []
        for position, (name, port) in enumerate(ports.items()):
            ahead = taken | blocked
            if urgent is not None and position == len(ports) - 1:
                ahead, blocked = Mux(urgent, 0, taken), Const(0, banks)
            _, _, bank = self._fields(port.addr)
            home = Signal(banks, name=f"{direction}_{name}_home")
            spill = Signal(banks, name=f"{direction}_{name}_spill")
            wants = Signal(banks, name=f"{direction}_{name}_wants")
            m.d.comb += [
                home.eq(1 << bank),
                # With one bank the wrapped lanes are in the same bank, whose row counter wraps.
                spill.eq(Mux(self._straddles(port.addr), home.rotate_left(1), 0) if banks > 1 else home),
                wants.eq(port.claim & ~blocked),
                port.ready.eq(~(port.claim & ahead).any()),
            ]
            granted = port.valid & port.ready
            # Lanes that stay in the bank but wrap to the next row are enabled unless they spill.
            inside = home if banks == 1 else Mux(self._straddles(port.addr), 0, home)
            first = Mux(granted, home, 0)
            second = Mux(granted, spill | inside, 0)
            requests.append((port, wants, first, second))
            # Not `wants`: where that makes a difference, the bank is blocked for others anyway or nothing is urgent.
            taken = taken | port.claim
        return requests

    def _select(self, m, target, requests, bank, member):
        """Route a member of the winning port; the lowest priority needs no condition."""
        *above, (last, _, _, _) = requests
        value = getattr(last, member)
        for port, wants, _, _ in reversed(above):
            value = Mux(wants[bank], getattr(port, member), value)
        m.d.comb += target.eq(value)

    def _elaborate_response(self, m, name, port, rams):
        lanes, banks = self.config.activation_word, self.config.activation_banks
        offset, _, bank = self._fields(port.addr)
        valid, straddles = port.valid & port.ready, self._straddles(port.addr)
        for stage in range(1, self.read_latency):
            delayed = [
                Signal(name=f"{name}_s{stage}_valid"),
                *(
                    Signal(len(value), name=f"{name}_s{stage}_{label}", reset_less=True)
                    for label, value in (("offset", offset), ("bank", bank), ("straddles", straddles))
                ),
            ]
            m.d.sync += [
                new.eq(old) for new, old in zip(delayed, (valid, offset, bank, straddles), strict=True)
            ]
            valid, offset, bank, straddles = delayed
        s5_valid = Signal(name=f"{name}_s5_valid")
        m.d.sync += s5_valid.eq(valid)
        m.d.comb += port.data_valid.eq(s5_valid)
        for lane in range(lanes):
            # The bank of each lane, one register a lane: these are the selects of the last multiplexer.
            s5_bank = Signal(len(bank), name=f"{name}_s5_bank_{lane}", reset_less=True)
            m.d.sync += s5_bank.eq(bank + (straddles & (offset >= lanes - lane)))
            choices = Array(ram.r_data.word_select(lane, 8) for ram in rams)
            m.d.comb += port.data.word_select(lane, 8).eq(choices[s5_bank] if banks > 1 else choices[0])
