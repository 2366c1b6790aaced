"""The AXI4 main memory for simulation: its Verilog, a testbench around a design, and access from Python.

Source: ``axi_memory.sv``; its header comment lists the plusargs.

Example
-------
::

    wrapper = axi_testbench_wrapper("accelerator", data_width=64, id_width=1)
    write_memory_file(tmp_path / "memory.hex", {0x1000: weights.tobytes()}, data_width=64)
    run(to_verilog(accelerator, "accelerator"), top="testbench", test_module="accelerator_tb",
        extra_sources=[AXI_MEMORY_SOURCE, wrapper], extra_public=AXI_MEMORY_PUBLIC,
        plusargs=[f"+memory={tmp_path / 'memory.hex'}", *memory_plusargs(read_latency=20, stall=10)])

and in the simulation ``MemoryAccess(dut.memory, data_width=64).read(0x2000, 16)``. AXI4-Lite registers work
with ``AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)`` of cocotbext-axi. That package
needs all the ports named here and nothing more: lock, cache, prot, qos, region and user signals are optional
there, as are ``wstrb``, ``bresp``, ``rresp`` and the ``awprot`` and ``arprot`` of AXI4-Lite.
"""

from pathlib import Path

from cocotb.handle import Immediate

__all__ = [
    "AXI_MEMORY_PUBLIC",
    "AXI_MEMORY_SOURCE",
    "MemoryAccess",
    "axi_testbench_wrapper",
    "memory_plusargs",
    "write_memory_file",
]

AXI_MEMORY_SOURCE = Path(__file__).with_name("axi_memory.sv")
"""The Verilog file."""

_CHANNELS = ("ar", "r", "aw", "w", "b")
_SETTINGS = (
    "read_latency",
    "write_latency",
    *(f"stall_{channel}" for channel in _CHANNELS),
    "silent",
    "slverr_base",
    "slverr_size",
    "decerr_base",
    "decerr_size",
)

AXI_MEMORY_PUBLIC = tuple(f"axi_memory.{name}" for name in ("memory", *_SETTINGS))
"""The ``extra_public`` of :func:`systolith_sim.cocotb_run.run`: contents and settings."""

# (name, width, whether the manager drives it); widths by name: D data, S strobes, A address, I id.
_AXI_PORTS = (
    ("awvalid", 1, True),
    ("awready", 1, False),
    ("awaddr", "A", True),
    ("awlen", 8, True),
    ("awsize", 3, True),
    ("awburst", 2, True),
    ("awid", "I", True),
    ("wvalid", 1, True),
    ("wready", 1, False),
    ("wdata", "D", True),
    ("wstrb", "S", True),
    ("wlast", 1, True),
    ("bvalid", 1, False),
    ("bready", 1, True),
    ("bresp", 2, False),
    ("bid", "I", False),
    ("arvalid", 1, True),
    ("arready", 1, False),
    ("araddr", "A", True),
    ("arlen", 8, True),
    ("arsize", 3, True),
    ("arburst", 2, True),
    ("arid", "I", True),
    ("rvalid", 1, False),
    ("rready", 1, True),
    ("rdata", "D", False),
    ("rresp", 2, False),
    ("rlast", 1, False),
    ("rid", "I", False),
)
_AXIL_PORTS = (
    ("awvalid", 1, True),
    ("awready", 1, False),
    ("awaddr", "A", True),
    ("awprot", 3, True),
    ("wvalid", 1, True),
    ("wready", 1, False),
    ("wdata", "D", True),
    ("wstrb", "S", True),
    ("bvalid", 1, False),
    ("bready", 1, True),
    ("bresp", 2, False),
    ("arvalid", 1, True),
    ("arready", 1, False),
    ("araddr", "A", True),
    ("arprot", 3, True),
    ("rvalid", 1, False),
    ("rready", 1, True),
    ("rdata", "D", False),
    ("rresp", 2, False),
)


def axi_testbench_wrapper(
    dut_top,
    *,
    data_width,
    id_width,
    addr_width=32,
    axil_addr_width=12,
    axil_data_width=32,
    memory_size_log2=24,
    memory_base=0,
    extra_outputs=(),
    name="testbench",
):
    """Verilog of a testbench that connects a design to the AXI memory.

    The design has the ports ``clk``, ``rst``, ``irq``, ``m_axi_*`` (AXI4 manager, named as in the AXI
    specification, without the lock, cache, prot, qos, region and user signals) and ``s_axil_*`` (AXI4-Lite
    subordinate). The testbench passes ``clk``, ``rst``, ``irq`` and ``s_axil_*`` on, and adds
    the outputs ``read_beats`` and ``write_beats``. Its instances are ``dut`` and ``memory``.

    Parameters
    ----------
    dut_top : str
        Name of the module of the design.
    data_width : int
        Bits of the AXI data bus: 32, 64 or 128.
    id_width, addr_width : int
        Bits of the AXI ids and addresses.
    axil_addr_width, axil_data_width : int
        Bits of the AXI4-Lite addresses and data.
    memory_size_log2, memory_base : int
        Bytes of the memory as a power of two; address of the first one.
    extra_outputs : sequence of (str, int)
        Further outputs of the design to pass on: name and width.
    name : str
        Name of the testbench module.

    Returns
    -------
    str
    """
    if data_width not in (32, 64, 128):
        raise ValueError(f"Data width must be 32, 64 or 128, not {data_width!r}")
    if memory_base % (1 << memory_size_log2):
        raise ValueError(
            f"Memory base must be a multiple of its size {1 << memory_size_log2:#x}, not {memory_base:#x}"
        )
    axi_widths = {"A": addr_width, "D": data_width, "S": data_width // 8, "I": id_width}
    axil_widths = {"A": axil_addr_width, "D": axil_data_width, "S": axil_data_width // 8}
    ports = [
        ("input", 1, "clk"),
        ("input", 1, "rst"),
        ("output", 1, "irq"),
        ("output", 64, "read_beats"),
        ("output", 64, "write_beats"),
    ]
    ports += [
        ("input" if driven else "output", axil_widths.get(width, width), f"s_axil_{port}")
        for port, width, driven in _AXIL_PORTS
    ]
    ports += [("output", width, port) for port, width in extra_outputs]
    lines = [f"module {name} ("]
    lines += [f"    {direction} wire [{width - 1}:0] {port}," for direction, width, port in ports]
    lines[-1] = lines[-1].rstrip(",")
    lines += [");"]
    lines += [f"  wire [{axi_widths.get(width, width) - 1}:0] m_axi_{port};" for port, width, _ in _AXI_PORTS]
    own = [
        "clk",
        "rst",
        "irq",
        *(f"s_axil_{port}" for port, *_ in _AXIL_PORTS),
        *(f"m_axi_{port}" for port, *_ in _AXI_PORTS),
        *(port for port, _ in extra_outputs),
    ]
    lines += [f"  {dut_top} dut (", ",\n".join(f"      .{port}({port})" for port in own), "  );"]
    lines += [
        f"  axi_memory #(.DATA_WIDTH({data_width}), .ADDR_WIDTH({addr_width}), .ID_WIDTH({id_width}),",
        f"      .SIZE_LOG2({memory_size_log2}), .BASE({addr_width}'h{memory_base:x})) memory (",
        "      .clk(clk), .rst(rst), .read_beats(read_beats), .write_beats(write_beats),",
        ",\n".join(f"      .s_axi_{port}(m_axi_{port})" for port, *_ in _AXI_PORTS),
        "  );",
        "endmodule",
        "",
    ]
    return "\n".join(lines)


def memory_plusargs(
    *, read_latency=20, write_latency=20, stall=0, silent=0, slverr=None, decerr=None, fill=0, **stalls
):
    """Plusargs that set up the memory.

    Parameters
    ----------
    read_latency, write_latency : int
        Cycles from the address to the first data beat, and from the last data beat to the response; the
        smallest possible is 2.
    stall : int
        Percentage of cycles in which each channel stalls.
    stall_ar, stall_r, stall_aw, stall_w, stall_b : int
        The same for one channel.
    silent : int
        Channels that never answer: bit 0 R, bit 1 B, bit 2 ARREADY, bit 3 AWREADY and WREADY.
    slverr, decerr : range or None
        Addresses that answer SLVERR or DECERR.
    fill : int
        32 bits, the contents where no file gives any.

    Returns
    -------
    list of str
    """
    unknown = set(stalls) - {f"stall_{channel}" for channel in _CHANNELS}
    if unknown:
        raise TypeError(f"Stalls must be of the channels {_CHANNELS}, not {sorted(unknown)}")
    arguments = [
        f"+read_latency={read_latency}",
        f"+write_latency={write_latency}",
        f"+silent={silent:x}",
        f"+fill={fill:x}",
    ]
    for channel in _CHANNELS:
        percentage = stalls.get(f"stall_{channel}", stall)
        if not 0 <= percentage < 100:
            raise ValueError(f"Stall percentage must be 0 to 99, not {percentage!r}")
        arguments.append(f"+stall_{channel}={percentage}")
    for kind, addresses in (("slverr", slverr), ("decerr", decerr)):
        if addresses is not None:
            arguments += [f"+{kind}_base={addresses.start:x}", f"+{kind}_size={len(addresses):x}"]
    return arguments


def write_memory_file(path, contents, *, data_width, base=0):
    """Write a file for the ``+memory`` plusarg.

    Parameters
    ----------
    path : path
    contents : bytes or mapping of int to bytes
        Bytes from address ``base``, or bytes by address. Partial words are filled up with zeros; two pieces
        may share a word.
    data_width : int
        Bits of the data bus.
    base : int
        Address of the first byte of the memory.
    """
    size = data_width // 8
    pieces = {base: contents} if isinstance(contents, (bytes, bytearray)) else contents
    shared = {}  # words that a piece does not fill: index to bytearray
    lines = []
    for address, piece in sorted(pieces.items()):
        offset = address - base
        if offset < 0:
            raise ValueError(f"Address must be at least {base:#x}, not {address:#x}")
        head = min(-offset % size, len(piece))
        body = (len(piece) - head) // size * size
        for start, part in ((offset, piece[:head]), (offset + head + body, piece[head + body :])):
            if part:
                word = shared.setdefault(start // size, bytearray(size))
                word[start % size : start % size + len(part)] = part
        if body:
            text = bytes(piece[head : head + body])
            lines.append(f"@{(offset + head) // size:x}")
            lines += [text[at : at + size][::-1].hex() for at in range(0, body, size)]
    for index, word in sorted(shared.items()):
        lines += [f"@{index:x}", word[::-1].hex()]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("\n".join(lines) + "\n")


class MemoryAccess:
    """Reads and writes the memory from a cocotb test, in no simulated time.

    Writes take effect at once: what is read next, even in a word that a write shares, is what was written.

    Parameters
    ----------
    handle : cocotb handle of the ``axi_memory`` instance
    data_width : int
        Bits of the data bus.
    base : int
        Address of the first byte of the memory.
    """

    def __init__(self, handle, *, data_width, base=0):
        self._memory = handle.memory
        self._size = data_width // 8
        self._base = base

    def read(self, address, count):
        """Bytes at ``address`` up to ``address + count``."""
        begin = address - self._base
        first, last = begin // self._size, -(-(begin + count) // self._size)
        words = b"".join(
            int(self._memory[index].value).to_bytes(self._size, "little") for index in range(first, last)
        )
        return words[begin - first * self._size :][:count]

    def write(self, address, data):
        """Store bytes at ``address``."""
        begin = address - self._base
        first, last = begin // self._size, -(-(begin + len(data)) // self._size)
        margin = begin - first * self._size
        if margin or len(data) % self._size:
            whole = bytearray(self.read(self._base + first * self._size, (last - first) * self._size))
            whole[margin : margin + len(data)] = data
            data = whole
        for index in range(first, last):
            at = (index - first) * self._size
            self._memory[index].value = Immediate(int.from_bytes(data[at : at + self._size], "little"))
