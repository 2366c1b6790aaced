"""UART: 8 data bits, no parity, one stop bit."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import Component, In, Out

__all__ = ["UartReceiver", "UartTransmitter"]

_DATA_BITS = 8
_MIN_DIVISOR = 4


def _check_divisor(divisor):
    if isinstance(divisor, bool) or not isinstance(divisor, int):
        raise TypeError(f"Divisor must be an integer, not {divisor!r}")
    if divisor < _MIN_DIVISOR:
        raise ValueError(f"Divisor must be at least {_MIN_DIVISOR}, not {divisor!r}")


class UartReceiver(Component):
    """Receives bytes: each bit is sampled in its middle. A byte whose stop bit is low is dropped.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit, at least 4.

    Members
    -------
    rx : ``In(1)``
        Pin, not synchronised.
    data : ``Out(stream.Signature(8, always_ready=True))``
        Bytes. They come when they come: there is no way to stop the other side.
    """

    def __init__(self, *, divisor):
        _check_divisor(divisor)
        self._divisor = divisor
        super().__init__({"rx": In(1, init=1), "data": Out(stream.Signature(_DATA_BITS, always_ready=True))})

    @property
    def divisor(self):
        """Clock cycles of a bit."""
        return self._divisor

    def elaborate(self, platform):
        m = Module()
        rx = Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.rx, rx, init=1)
        timer = Signal(range(self.divisor))
        left = Signal(range(_DATA_BITS + 2))  # data bits and the stop bit
        bits = Signal(_DATA_BITS + 1)
        m.d.sync += self.data.valid.eq(0)
        m.d.comb += self.data.payload.eq(bits[:-1])
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [timer.eq(self.divisor // 2 - 1), left.eq(_DATA_BITS + 1)]
                with m.If(~rx):
                    m.next = "START"
            with m.State("START"):
                m.d.sync += timer.eq(timer - 1)
                with m.If(timer == 0):
                    m.d.sync += timer.eq(self.divisor - 1)
                    m.next = "BITS"
                with m.If(rx):  # a glitch
                    m.next = "IDLE"
            with m.State("BITS"):
                m.d.sync += timer.eq(timer - 1)
                with m.If(timer == 0):
                    m.d.sync += [timer.eq(self.divisor - 1), left.eq(left - 1), bits.eq(Cat(bits[1:], rx))]
                    with m.If(left == 1):
                        m.d.sync += self.data.valid.eq(rx)
                        m.next = "STOP"
            with m.State("STOP"):
                with m.If(rx):
                    m.next = "IDLE"
        return m


class UartTransmitter(Component):
    """Sends bytes.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit, at least 4.

    Members
    -------
    data : ``In(stream.Signature(8))``
        Bytes.
    tx : ``Out(1)``
        Pin, high while nothing is sent.
    """

    def __init__(self, *, divisor):
        _check_divisor(divisor)
        self._divisor = divisor
        super().__init__({"data": In(stream.Signature(_DATA_BITS)), "tx": Out(1, init=1)})

    @property
    def divisor(self):
        """Clock cycles of a bit."""
        return self._divisor

    def elaborate(self, platform):
        m = Module()
        timer = Signal(range(self.divisor))
        left = Signal(range(_DATA_BITS + 3))
        bits = Signal(_DATA_BITS + 1, init=-1)
        idle = Signal(init=1)
        m.d.comb += self.data.ready.eq(idle)
        m.d.sync += self.tx.eq(bits[0])
        with m.If(idle):
            m.d.sync += timer.eq(self.divisor - 1)
            with m.If(self.data.valid):
                m.d.sync += [bits.eq(Cat(C(0, 1), self.data.payload)), left.eq(_DATA_BITS + 2),
                             idle.eq(0)]
        with m.Elif(timer == 0):
            m.d.sync += [timer.eq(self.divisor - 1), left.eq(left - 1), bits.eq(Cat(bits[1:], C(1, 1))),
                         idle.eq(left == 1)]
        with m.Else():
            m.d.sync += timer.eq(timer - 1)
        return m
