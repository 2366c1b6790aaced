"""Configuration of an accelerator: one validated, frozen dataclass that everything else derives from."""

from dataclasses import asdict, dataclass, fields
from math import gcd

__all__ = ["AcceleratorConfig", "ConfigurationError"]


class ConfigurationError(ValueError):
    """A geometry that cannot work; the message states the rule."""


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def _next_power_of_two(value: int) -> int:
    return 1 << (value - 1).bit_length()


@dataclass(frozen=True, kw_only=True)
class AcceleratorConfig:
    """Geometry and options of one accelerator.

    Attributes
    ----------
    name : str
        Name of the preset, or any name of your own.
    rows : int
        Array rows: input channels (bytes of the reduction) per cycle, 2 to 64.
    cols : int
        Array columns: output channels, 2 to 64.
    activation_bytes : int
        Activation buffer, bytes; a power of two, 1 KiB to 1 MiB.
    activation_banks : int
        Independent 1R1W banks of the activation buffer (1, 2 or 4), split by the top address bits.
    activation_ports : int
        2: the activation buffer is block RAM with a read and a write port. 1: RAM of 16-bit words with one port, such as the
        SPRAM of iCE40 UltraPlus, with serial control only; a vector takes lanes / 2 cycles, at an odd address one more.
    weight_bytes : int
        Weight buffer, bytes; a power of two, at least two weight tiles.
    parameter_bytes : int
        Parameter buffer, bytes; a power of two.
    accumulator_depth : int
        Entries of one of the two accumulator halves; an entry is one pixel of cols 32-bit sums. A power of two.
    vector_lanes : int
        Lanes of the vector unit; divides cols.
    parameter_groups : int
        Entries of one bank of a lane's table (bias, multiplier, exponent); a power of two and at least
        cols / vector_lanes.
    axi_data_width : int
        Bits of the AXI4 manager: 32, 64 or 128.
    burst_beats : int
        Longest AXI burst the DMA issues, 1 to 256 beats (also at most 4 KiB).
    outstanding_reads : int
        Read bursts the LOAD engine keeps in flight.
    queue_commands : int
        Commands each engine's queue holds.
    multiplier_style : str
        "generic" (behavioural, for simulation and any tool) or the FPGA family whose blocks are instantiated: "ecp5",
        "ice40", "gowin" or "nexus". Same latency.
    dsp_budget : int
        Multipliers of the array in DSP blocks, at most; the others are built of LUTs, those of the last columns.
    dsp_sums : bool
        Add the sums of the array's columns in DSP blocks too: fewer LUTs and flip-flops in the fabric.
    depthwise_streams : int
        Kernel rows that a column-mode tile multiplies at once (depthwise convolutions), 1 to rows / 2; each is given
        rows // depthwise_streams rows of the array. 0 builds no column mode.
    line_depth : int
        Words of the line buffer of column mode; a power of two. A line, with the rows // depthwise_streams
        taps added, is at most this long.
    residual_add : bool
        Build the operand scaler of the vector unit (TFLite ADD).
    pooling : bool
        Build the activation source of the vector unit (pooling, ADD, QUANTIZE, PAD, copies).
    softmax : bool
        Build the exponentials and the reciprocal of SOFTMAX.
    control : str
        "parallel": an engine and a queue for each kind of command, all at work at the same time; or "serial": one
        microprogram executes the commands one after the other, in a fraction of the area and with a fraction of the speed.
    engine_counters : bool
        Build the counters of busy and stalled cycles of each engine; those of cycles, bytes and commands are always
        there.
    """

    name: str
    rows: int
    cols: int
    activation_bytes: int
    activation_banks: int = 2
    activation_ports: int = 2
    weight_bytes: int
    parameter_bytes: int = 4096
    accumulator_depth: int = 256
    vector_lanes: int
    parameter_groups: int = 8
    axi_data_width: int = 64
    burst_beats: int = 64
    outstanding_reads: int = 8
    queue_commands: int = 16
    multiplier_style: str = "generic"
    dsp_budget: int = 4096
    dsp_sums: bool = False
    depthwise_streams: int = 0
    line_depth: int = 512
    residual_add: bool = True
    pooling: bool = True
    softmax: bool = True
    engine_counters: bool = True
    control: str = "parallel"

    def __post_init__(self) -> None:
        for rule, message in self._rules():
            if not rule:
                raise ConfigurationError(f"Configuration {self.name!r}: {message}")

    def _rules(self):
        integers = [f.name for f in fields(self) if f.type in (int, "int")]
        for key in integers:
            value = getattr(self, key)
            yield isinstance(value, int) and not isinstance(value, bool), f"{key} must be an integer, not {value!r}"
        for key, low, high in (("rows", 2, 64), ("cols", 2, 64)):
            value = getattr(self, key)
            yield low <= value <= high, f"{key} must be {low} to {high}, not {value!r}"
        for key in ("activation_bytes", "weight_bytes", "parameter_bytes", "accumulator_depth", "parameter_groups",
                    "line_depth"):
            value = getattr(self, key)
            yield _is_power_of_two(value), f"{key} must be a power of two, not {value!r}"
        yield 1024 <= self.activation_bytes <= 1 << 20, \
            f"activation_bytes must be 1024 to {1 << 20}, not {self.activation_bytes!r}"
        yield self.activation_banks in (1, 2, 4), f"activation_banks must be 1, 2 or 4, not {self.activation_banks!r}"
        yield self.activation_ports in (1, 2), f"activation_ports must be 1 or 2, not {self.activation_ports!r}"
        yield self.activation_ports == 2 or self.control == "serial", \
            f"activation_ports must be 2 with parallel control, not {self.activation_ports!r}"
        yield self.axi_data_width in (32, 64, 128), f"axi_data_width must be 32, 64 or 128, not {self.axi_data_width!r}"
        yield 1 <= self.vector_lanes and self.cols % self.vector_lanes == 0, \
            f"vector_lanes must divide cols ({self.cols}), not {self.vector_lanes!r}"
        tile = self.rows * self.cols
        yield 2 * tile <= self.weight_bytes <= 1 << 20, (
            f"weight_bytes must hold two weight tiles of rows x cols = {tile} bytes and be at most {1 << 20}, "
            f"not {self.weight_bytes!r}")
        yield 8 <= self.accumulator_depth <= 1 << 14, \
            f"accumulator_depth must be 8 to {1 << 14}, not {self.accumulator_depth!r}"
        yield self.parameter_groups * self.vector_lanes >= self.cols, (
            f"parameter_groups must be at least cols / vector_lanes = {self.cols // self.vector_lanes}, "
            f"not {self.parameter_groups!r}")
        yield self.parameter_groups <= 128, f"parameter_groups must be at most 128, not {self.parameter_groups!r}"
        yield 24 * self.cols <= self.parameter_bytes <= 1 << 17, (
            f"parameter_bytes must hold two blocks of cols x 12 bytes = {24 * self.cols} and be at most {1 << 17}, "
            f"not {self.parameter_bytes!r}")
        yield 1 <= self.burst_beats <= 256 and self.burst_beats * self.axi_bytes <= 4096, (
            f"burst_beats must be 1 to {min(256, 4096 // self.axi_bytes)} (a burst stays within 4 KiB), "
            f"not {self.burst_beats!r}")
        yield 1 <= self.outstanding_reads <= 32, f"outstanding_reads must be 1 to 32, not {self.outstanding_reads!r}"
        yield 2 <= self.queue_commands <= 256, f"queue_commands must be 2 to 256, not {self.queue_commands!r}"
        yield self.multiplier_style in ("generic", "ecp5", "ice40", "gowin", "nexus"), \
            f"multiplier_style must be 'generic', 'ecp5', 'ice40', 'gowin' or 'nexus', not {self.multiplier_style!r}"
        yield 0 <= self.dsp_budget <= 4096, f"dsp_budget must be 0 to 4096, not {self.dsp_budget!r}"
        yield 0 <= self.depthwise_streams <= self.rows // 2, (
            f"depthwise_streams must be 0 to rows / 2 = {self.rows // 2}, not {self.depthwise_streams!r}")
        yield 16 <= self.line_depth <= 1 << 14, f"line_depth must be 16 to {1 << 14}, not {self.line_depth!r}"
        yield not self.depthwise_streams or self.line_depth >= 2 * self.depthwise_taps, (
            f"line_depth must be at least twice the {self.depthwise_taps} taps of a stream, not {self.line_depth!r}")
        bank = self.activation_bytes // self.activation_banks
        yield bank >= 4 * self.activation_word, (
            f"activation_bytes must give each of the {self.activation_banks} banks at least four words of "
            f"{self.activation_word} bytes, not {self.activation_bytes!r}")
        for unit in ("residual_add", "softmax"):
            yield self.pooling or not getattr(self, unit), f"{unit} needs pooling (the activation source)"
        yield self.control in ("parallel", "serial"), f"control must be 'parallel' or 'serial', not {self.control!r}"
        if self.control == "serial":
            yield from self._serial_rules()

    def _serial_rules(self):
        for key, allowed in (
                ("rows", (4, 8, 16)), ("cols", (4, 8, 16)), ("axi_data_width", (32,)), ("vector_lanes", (1,)),
                ("activation_banks", (1,)), ("depthwise_streams", (0,)), ("residual_add", (False,)), ("softmax", (False,)),
                ("pooling", (True,)), ("engine_counters", (False,)), ("dsp_sums", (False,))):
            value = getattr(self, key)
            text = " or ".join(map(str, allowed))
            yield value in allowed, f"{key} must be {text} with serial control, not {value!r}"
        # Parameters, tables and the microprogram's own words share a RAM; a command is read by one burst.
        yield self.parameter_bytes <= 1024, \
            f"parameter_bytes must be at most 1024 with serial control, not {self.parameter_bytes!r}"
        yield self.parameter_groups <= 8, \
            f"parameter_groups must be at most 8 with serial control, not {self.parameter_groups!r}"
        yield self.cols <= self.parameter_groups, \
            f"parameter_groups must be at least cols ({self.cols}) with serial control, not {self.parameter_groups!r}"
        yield self.burst_beats >= 16, f"burst_beats must be at least 16 with serial control, not {self.burst_beats!r}"

    @property
    def axi_bytes(self) -> int:
        """Bytes of one AXI beat."""
        return self.axi_data_width // 8

    @property
    def activation_word(self) -> int:
        """Byte lanes of the activation buffer: a power of two that holds any access."""
        return _next_power_of_two(max(self.rows, self.vector_lanes, self.axi_bytes))

    @property
    def weight_word(self) -> int:
        """Byte lanes of the weight buffer: a power of two that holds two tile rows and a beat."""
        return _next_power_of_two(max(2 * self.cols, self.axi_bytes))

    @property
    def weight_alignment(self) -> int:
        """Every weight buffer access starts at a multiple of this many bytes."""
        return gcd(self.cols, self.axi_bytes)

    @property
    def tile_bytes(self) -> int:
        """Bytes of one weight tile."""
        return self.rows * self.cols

    @property
    def processing_elements(self) -> int:
        """Multipliers of the array."""
        return self.rows * self.cols

    @property
    def depthwise_lanes(self) -> int:
        """Channels of a column-mode tile: one for each column, as far as a vector has lanes."""
        return min(self.rows, self.cols) if self.depthwise_streams else 0

    @property
    def depthwise_taps(self) -> int:
        """Rows of the array for each stream of column mode: kernel columns that a tile multiplies at once."""
        return self.rows // self.depthwise_streams if self.depthwise_streams else 0

    @property
    def sum_width(self) -> int:
        """Bits of the partial sum that leaves the array: 16 + ceil(log2(rows))."""
        return 16 + (self.rows - 1).bit_length()

    @property
    def accumulator_entries(self) -> int:
        """Entries of both accumulator halves together."""
        return 2 * self.accumulator_depth

    @property
    def table_channels(self) -> int:
        """Channels that one bank of the lane tables holds."""
        return self.parameter_groups * self.vector_lanes

    @property
    def softmax_channels(self) -> int:
        """Most channels of a SOFTMAX; 0 without the unit or room for its table of 256 words."""
        return self.table_channels if self.softmax and self.parameter_bytes >= 1024 else 0

    def as_dict(self) -> dict:
        """All fields as plain values, for manifests and reports."""
        return asdict(self)
