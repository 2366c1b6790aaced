"""The accelerator with main memory and host link: everything on a board but clock and pins."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out, connect

from systolith.accelerator import Accelerator
from systolith.head_buffer import HeadBuffer
from systolith_boards.shell.bridge import HostBridge
from systolith_boards.shell.framing import FRAME_LAYOUT, FrameReceiver, FrameTransmitter
from systolith_boards.shell.memory import MainMemory
from systolith_boards.shell.protocol import Identity
from systolith_boards.shell.uart import UartReceiver, UartTransmitter

__all__ = ["Shell"]

_SLVERR = 2
_HEARTBEAT_HZ = 1


class Shell(Component):
    """Accelerator, main memory and host link.

    Parameters
    ----------
    config : AcceleratorConfig
    board : str
        Name, for the host.
    memory_bytes : int
        Main memory.
    clock_hz : int
        Clock, for the UART's rate, the heartbeat and the host.
    baud : int
        Of the UART; the clock must be at least four times as fast, and come within 2 % of a multiple.
    accelerator : bool
        False leaves the accelerator out: a host link with a memory to test.
    single_port : bool
        Main memory in single-port RAM.
    ram_width : int or None
        Bits of its words, see :class:`~systolith_boards.shell.memory.MainMemory`.

    Members
    -------
    rx, tx : ``In(1)``, ``Out(1)``
        UART.
    heartbeat : ``Out(1)``
        Changes every second or two.
    busy, done, error : ``Out(1)``
        Register STATUS as the host read it last.
    """

    def __init__(self, *, config, board, memory_bytes, clock_hz, baud, accelerator=True,
                 single_port=False, ram_width=None):
        divisor = round(clock_hz / baud)
        if divisor < 4 or abs(clock_hz / divisor / baud - 1) > 0.02:
            raise ValueError(f"Baud rate must be at most a quarter of the clock of {clock_hz} Hz and within 2 % of a "
                             f"divisor of it, not {baud!r}")
        self._config = config
        self._divisor = divisor
        self._clock_hz = clock_hz
        self._single_port, self._ram_width = single_port, ram_width
        self._identity = Identity(board=board, memory_bytes=memory_bytes, clock_hz=clock_hz, accelerator=accelerator)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "heartbeat": Out(1), "busy": Out(1), "done": Out(1),
                          "error": Out(1)})

    @property
    def config(self):
        """Configuration of the accelerator."""
        return self._config

    @property
    def identity(self):
        """What the host is told."""
        return self._identity

    @property
    def divisor(self):
        """Clock cycles of a bit of the UART."""
        return self._divisor

    def elaborate(self, platform):
        m = Module()
        memory_bytes = self.identity.memory_bytes
        m.submodules.bridge = bridge = HostBridge(identity=self.identity.encode(), memory_bytes=memory_bytes)
        m.submodules.memory = memory = MainMemory(
            config=self.config, size=memory_bytes, single_port=self._single_port, ram_width=self._ram_width)
        self._link(m, bridge)
        for name in ("addr", "write", "w_data", "read"):  # registered: bridge, memory and bus would be one long path
            m.d.sync += getattr(memory, f"host_{name}").eq(getattr(bridge, f"host_{name}"))
        m.d.comb += [bridge.host_r_valid.eq(memory.host_r_valid), bridge.host_r_data.eq(memory.host_r_data)]
        if self.identity.accelerator:
            m.submodules.systolith = accelerator = Accelerator(config=self.config)
            self._connect(m, accelerator, "m_axi_", memory, "s_axi_")
            self._connect(m, bridge, "m_axil_", accelerator, "s_axil_")
        else:
            m.d.comb += [getattr(bridge, f"m_axil_{name}").eq(1) for name in
                         ("awready", "wready", "arready", "bvalid", "rvalid")]
            m.d.comb += [bridge.m_axil_bresp.eq(_SLVERR), bridge.m_axil_rresp.eq(_SLVERR)]
        self._lights(m, bridge)
        return m

    def _link(self, m, bridge):
        m.submodules.uart_receiver = receiver = UartReceiver(divisor=self.divisor)
        m.submodules.uart_transmitter = transmitter = UartTransmitter(divisor=self.divisor)
        m.submodules.frame_receiver = frames_in = FrameReceiver(style=self.config.multiplier_style)
        m.submodules.frame_transmitter = frames_out = FrameTransmitter()
        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx)]
        connect(m, uart=receiver.data, frames=frames_in.i)
        # Registers on both sides of the bridge: frames and bridge would be one long path.
        m.submodules.requests = requests = HeadBuffer(shape=FRAME_LAYOUT)
        m.submodules.answers = answers = HeadBuffer(shape=FRAME_LAYOUT)
        connect(m, frames=frames_in.o, requests=requests.i)
        connect(m, requests=requests.o, bridge=bridge.requests)
        connect(m, bridge=bridge.answers, answers=answers.i)
        connect(m, answers=answers.o, frames=frames_out.i)
        connect(m, frames=frames_out.o, uart=transmitter.data)

    def _connect(self, m, manager, prefix, subordinate, other_prefix):
        """Connect all signals of a bus: those of `manager` that are outputs drive `subordinate`."""
        for name, member in manager.signature.members.items():
            if name.startswith(prefix):
                mine, theirs = getattr(manager, name), getattr(subordinate, name.replace(prefix, other_prefix))
                m.d.comb += theirs.eq(mine) if member.flow == Out else mine.eq(theirs)

    def _lights(self, m, bridge):
        # A counter that is never compared: its carry chain is path enough on slow FPGAs.
        timer = Signal((self._clock_hz // (2 * _HEARTBEAT_HZ)).bit_length() + 1)
        m.d.sync += timer.eq(timer + 1)
        m.d.comb += self.heartbeat.eq(timer[-1])
        m.d.comb += Cat(self.busy, self.done, self.error).eq(bridge.run_status)
