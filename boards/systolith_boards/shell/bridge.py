"""Carries out the requests of the host: main memory byte by byte, registers over AXI4-Lite."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from systolith.register_file import axi_lite_members
from systolith.shapes import MEMORY_WIDTH
from systolith_boards.shell.framing import frame_stream
from systolith_boards.shell.protocol import ANSWER, HEADER_BYTES, MAX_DATA, Command, Status
from systolith_spec.registers import register

__all__ = ["HostBridge"]

_REQUEST = data.StructLayout({"command": 8, "sequence": 8, "address": MEMORY_WIDTH})
_LENGTH_BYTES = 2
_WORD_BYTES = 4
_STATUS_BITS = 3


class _Registers:
    """What the states of a `HostBridge` share."""

    def __init__(self, memory_bytes):
        self.request = Signal(_REQUEST)
        self.ended = Signal()  # the last byte of the request has been read
        # Runs through memory; more than that holds is all ones.
        self.address = Signal(ceil_log2(memory_bytes) + 1)
        self.word = Signal(8 * _WORD_BYTES)  # operand of a request, or value of a register
        self.count = Signal(range(HEADER_BYTES), init=HEADER_BYTES - 1)  # bytes of header or operand behind the next one
        # Data bytes still to be sent, and what that is a cycle before: none, or one.
        self.left = Signal(range(MAX_DATA + 1))
        self.none_left, self.one_left = Signal(), Signal()
        self.byte = Signal(8)
        self.status = Signal(Status)
        # The last WRITE_REGISTER, which is not to be executed again.
        self.written = Signal()
        self.written_sequence = Signal(8)
        self.written_status = Signal(Status)
        # The command, decoded, and whether it is the last WRITE_REGISTER once more: a cycle behind the request.
        self.is_command = {command: Signal(name=f"is_{command.name.lower()}") for command in Command}
        self.again = Signal()
        # No such command, or not of this length: another cycle behind.
        self.unknown, self.bad = Signal(), Signal()
        # There is an answer to be sent; its last byte is taken.
        self.answering, self.answered = Signal(), Signal()


class HostBridge(Component):
    """Reads requests, one after another, and writes their answers; see `systolith_boards.shell.protocol`.

    Parameters
    ----------
    identity : bytes
        Data of the answer to IDENTIFY.
    memory_bytes : int
        Size of main memory.

    Members
    -------
    requests : ``In(frame_stream())``
    answers : ``Out(frame_stream())``
    m_axil_* : AXI4-Lite manager
        Registers of the accelerator.
    host_* :
        The other side of the byte port of `MainMemory`.
    run_status : ``Out(3)``
        Register STATUS as the host read it last.
    """

    def __init__(self, *, identity, memory_bytes):
        self._identity = bytes(identity)
        self._memory_bytes = memory_bytes
        super().__init__({
            "requests": In(frame_stream()), "answers": Out(frame_stream()),
            **{name.replace("s_axil_", "m_axil_"): member.flip() for name, member in axi_lite_members().items()},
            "host_addr": Out(MEMORY_WIDTH), "host_write": Out(1), "host_w_data": Out(8), "host_read": Out(1),
            "host_r_valid": In(1), "host_r_data": In(8), "run_status": Out(_STATUS_BITS),
        })  # fmt: skip

    @property
    def identity(self):
        """Data of the answer to IDENTIFY."""
        return self._identity

    @property
    def memory_bytes(self):
        """Size of main memory."""
        return self._memory_bytes

    def elaborate(self, platform):
        m = Module()
        r = _Registers(self.memory_bytes)
        m.d.comb += [self.host_addr.eq(r.address), self.host_w_data.eq(self.requests.payload.data)]
        m.d.sync += [flag.eq(r.request.command == command) for command, flag in r.is_command.items()]
        m.d.sync += r.again.eq(r.written & (r.written_sequence == r.request.sequence))
        m.d.sync += r.answered.eq(0)
        no_operand = r.is_command[Command.IDENTIFY] | r.is_command[Command.READ_REGISTER]
        unknown = ~Cat(r.is_command.values()).any()
        m.d.sync += [r.unknown.eq(unknown), r.bad.eq(unknown | (r.ended != no_operand))]
        m.d.sync += [r.none_left.eq(r.left == 0), r.one_left.eq(r.left == 1)]
        with m.If(self.requests.valid & self.requests.ready):
            m.d.sync += r.ended.eq(self.requests.payload.last)
        # Two machines: fewer states each, so that a LUT tells one.
        with m.FSM(name="request"):
            self._request(m, r)
            self._operand(m, r)
            self._write_memory(m, r)
            self._write_register(m, r)
            self._read_register(m, r)
        with m.FSM(name="answer"):
            self._answer(m, r)
            self._data(m, r)
        return m

    def _fail(self, m, r, status):
        """Read what is left of the request and answer with an error, without data."""
        m.d.sync += r.status.eq(status)
        m.next = "DRAIN"

    def _request(self, m, r):
        with m.State("REQUEST"):
            m.d.comb += self.requests.ready.eq(1)
            m.d.sync += [r.left.eq(0), r.status.eq(Status.OK)]
            with m.If(self.requests.valid):
                m.d.sync += [
                    r.request.as_value().eq(Cat(r.request.as_value()[8:], self.requests.payload.data)),
                    r.count.eq(r.count - 1),
                ]
                with m.If(r.count == 0):
                    m.next = "DECODE"
                with m.Elif(self.requests.payload.last):  # too short even for an answer
                    m.d.sync += r.count.eq(HEADER_BYTES - 1)
        with m.State("DECODE"):
            m.next = "CHECK"
        with m.State("CHECK"):
            m.d.sync += r.count.eq(Mux(r.is_command[Command.READ_MEMORY], _LENGTH_BYTES, _WORD_BYTES) - 1)
            m.next = "COMMAND"
        with m.State("COMMAND"):
            outside = r.request.address[len(r.address):].any()
            m.d.sync += r.address.eq(r.request.address | outside.replicate(len(r.address)))
            after = {Command.IDENTIFY: "ANSWER", Command.READ_MEMORY: "OPERAND", Command.WRITE_MEMORY: "WRITE_MEMORY",
                     Command.READ_REGISTER: "READ_REGISTER", Command.WRITE_REGISTER: "OPERAND"}
            with m.If(r.is_command[Command.IDENTIFY]):
                m.d.sync += [r.written.eq(0), r.address.eq(0), r.left.eq(len(self.identity))]
            for command, state in after.items():
                with m.If(r.is_command[command]):
                    m.next = state
            with m.If(r.bad):
                self._fail(m, r, Mux(r.unknown, Status.BAD_COMMAND, Status.BAD_LENGTH))
        with m.State("DRAIN"):
            m.d.comb += self.requests.ready.eq(~r.ended)
            m.d.sync += r.left.eq(0)
            with m.If(r.ended):
                m.next = "ANSWER"
        with m.State("ANSWER"):
            m.d.comb += r.answering.eq(1)
            m.d.sync += r.count.eq(HEADER_BYTES - 1)
            with m.If(r.answered):
                m.next = "REQUEST"

    def _operand(self, m, r):
        with m.State("OPERAND"):
            m.d.comb += self.requests.ready.eq(1)
            with m.If(self.requests.valid):
                m.d.sync += [r.word.eq(Cat(r.word[8:], self.requests.payload.data)), r.count.eq(r.count - 1)]
                with m.If(self.requests.payload.last != (r.count == 0)):
                    self._fail(m, r, Status.BAD_LENGTH)
                with m.Elif(self.requests.payload.last):
                    with m.If(r.is_command[Command.READ_MEMORY]):
                        m.next = "READ_MEMORY"
                    with m.Else():
                        m.next = "WRITE_REGISTER"
        bad, outside = Signal(), Signal()
        length = r.word[-8 * _LENGTH_BYTES:]
        with m.State("READ_MEMORY"):
            m.d.sync += [bad.eq((length == 0) | (length > MAX_DATA)), outside.eq(r.address + length > self.memory_bytes),
                         r.left.eq(length)]
            m.next = "READ_CHECKED"
        with m.State("READ_CHECKED"):
            m.next = "ANSWER"
            with m.If(bad | outside):
                self._fail(m, r, Mux(bad, Status.BAD_LENGTH, Status.OUT_OF_RANGE))

    def _write_memory(self, m, r):
        with m.State("WRITE_MEMORY"):
            with m.If(r.address >= self.memory_bytes):
                self._fail(m, r, Status.OUT_OF_RANGE)
            with m.Else():
                m.d.comb += [self.requests.ready.eq(1), self.host_write.eq(self.requests.valid)]
                with m.If(self.requests.valid):
                    m.d.sync += r.address.eq(r.address + 1)
                    with m.If(self.requests.payload.last):
                        m.next = "ANSWER"

    def _write_register(self, m, r):
        address_left, word_left = Signal(), Signal()
        m.d.comb += [
            self.m_axil_awaddr.eq(r.request.address), self.m_axil_wdata.eq(r.word), self.m_axil_wstrb.eq(-1),
            self.m_axil_awvalid.eq(address_left), self.m_axil_wvalid.eq(word_left),
        ]  # fmt: skip
        with m.State("WRITE_REGISTER"):
            m.d.sync += r.status.eq(r.written_status)
            with m.If(r.again):
                m.next = "ANSWER"
            with m.Else():
                m.d.sync += [address_left.eq(1), word_left.eq(1)]
                m.next = "WRITE_RESPONSE"
        with m.State("WRITE_RESPONSE"):
            m.d.comb += self.m_axil_bready.eq(~address_left & ~word_left)
            with m.If(self.m_axil_awready):
                m.d.sync += address_left.eq(0)
            with m.If(self.m_axil_wready):
                m.d.sync += word_left.eq(0)
            status = Mux(self.m_axil_bresp == 0, Status.OK, Status.BUS_ERROR)
            m.d.sync += r.status.eq(status)
            with m.If(self.m_axil_bvalid & self.m_axil_bready):
                m.d.sync += [r.written.eq(1), r.written_sequence.eq(r.request.sequence), r.written_status.eq(status)]
                m.next = "ANSWER"

    def _read_register(self, m, r):
        address_left = Signal()
        m.d.comb += [self.m_axil_araddr.eq(r.request.address), self.m_axil_arvalid.eq(address_left)]
        with m.State("READ_REGISTER"):
            m.d.sync += [address_left.eq(1), r.left.eq(_WORD_BYTES)]
            m.next = "READ_RESPONSE"
        with m.State("READ_RESPONSE"):
            m.d.comb += self.m_axil_rready.eq(~address_left)
            m.d.sync += r.word.eq(self.m_axil_rdata)
            with m.If(self.m_axil_arready):
                m.d.sync += address_left.eq(0)
            with m.If(self.m_axil_rvalid & self.m_axil_rready):
                with m.If(self.m_axil_rresp != 0):
                    self._fail(m, r, Status.BUS_ERROR)
                with m.Else():
                    m.next = "ANSWER"
                    with m.If(self.m_axil_araddr == register("STATUS").offset):
                        m.d.sync += self.run_status.eq(self.m_axil_rdata)

    def _answer(self, m, r):
        answer = self.answers.payload
        with m.State("IDLE"), m.If(r.answering & ~r.answered):
            m.next = "ANSWER_COMMAND"
        with m.State("ANSWER_COMMAND"):
            m.d.comb += [self.answers.valid.eq(1), answer.data.eq(r.request.command | ANSWER)]
            with m.If(self.answers.ready):
                m.next = "ANSWER_SEQUENCE"
        with m.State("ANSWER_SEQUENCE"):
            m.d.comb += [self.answers.valid.eq(1), answer.data.eq(r.request.sequence)]
            with m.If(self.answers.ready):
                m.next = "ANSWER_STATUS"
        with m.State("ANSWER_STATUS"):
            m.d.comb += [self.answers.valid.eq(1), answer.data.eq(r.status), answer.last.eq(r.none_left)]
            with m.If(self.answers.ready):
                m.next = "FETCH"
                with m.If(r.none_left):
                    m.d.sync += r.answered.eq(1)
                    m.next = "IDLE"

    def _data(self, m, r):
        identity = Array(Const(byte, 8) for byte in self.identity)
        with m.State("FETCH"):
            m.next = "SEND"
            with m.If(r.is_command[Command.IDENTIFY]):
                m.d.sync += r.byte.eq(identity[r.address[:ceil_log2(len(self.identity))]])
            with m.Elif(r.is_command[Command.READ_MEMORY]):
                m.d.comb += self.host_read.eq(1)
                m.next = "WAIT"
            with m.Else():
                m.d.sync += r.byte.eq(r.word)
            m.d.sync += r.word.eq(r.word >> 8)
        with m.State("WAIT"):
            with m.If(self.host_r_valid):
                m.d.sync += r.byte.eq(self.host_r_data)
                m.next = "SEND"
        with m.State("SEND"):
            m.d.comb += [self.answers.valid.eq(1), self.answers.payload.data.eq(r.byte)]
            m.d.comb += self.answers.payload.last.eq(r.one_left)
            with m.If(self.answers.ready):
                m.d.sync += [r.left.eq(r.left - 1), r.address.eq(r.address + 1)]
                m.next = "FETCH"
                with m.If(r.one_left):
                    m.d.sync += r.answered.eq(1)
                    m.next = "IDLE"
