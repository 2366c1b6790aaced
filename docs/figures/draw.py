"""Draws the figures of docs/; `scripts/generate_docs.py` writes the SVG files.

Two of them show what the project's own models do: `swap_wave.svg` is read from a simulation of the systolic
array, `tokens.svg` from the cycle model running the program of docs/dataflow.md.
"""

import tempfile
from html import escape
from pathlib import Path

import numpy as np

from systolith.systolic_array import SystolicArray
from systolith_compiler.program import Program, Region
from systolith_compiler.tflite_reader import read_tflite
from systolith_golden.cycle_simulation import CycleSimulation
from systolith_golden.cycle_work import CycleConstants, Workbook
from systolith_golden.machine import Machine
from systolith_report.records import Run
from systolith_report.run_charts import timeline_chart
from systolith_sim.inference import infer
from systolith_sim.pysim import simulate
from systolith_sim.samples import random_sample
from systolith_spec.commands import Engine, decode
from systolith_spec.presets import PRESETS
from systolith_spec.timing import WEIGHT_ROWS

__all__ = ["FIGURES", "example_program", "example_table"]

INK, GREY, PALE, LINE = "#1f2933", "#66727f", "#f4f6f8", "#9aa5b1"
BLUE, GREEN, AMBER, RED, VIOLET = "#cfe2f7", "#d3ecd6", "#fbe6c0", "#f7d2ce", "#e4d8f3"
ENGINE_COLORS = {Engine.LOAD: BLUE, Engine.COMPUTE: GREEN, Engine.VECTOR: AMBER, Engine.STORE: VIOLET}
LENET = Path(__file__).resolve().parents[2] / "scripts" / "demo" / "lenet5.tflite"
TILE_COLORS = {"A": BLUE, "B": GREEN, "C": AMBER, "D": VIOLET}


class Drawing:
    """An SVG file under construction; coordinates in pixels."""

    def __init__(self, width: int, height: int, title: str):
        self.width, self.height, self.title = width, height, title
        self.parts: list[str] = []

    def box(self, x, y, w, h, text="", *, fill="#ffffff", size=13, bold=False, stroke=LINE, radius=5, dash=""):
        """A rectangle with centred lines of text; the first may be bold."""
        style = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="{radius}" fill="{fill}" '
                          f'stroke="{stroke}"{style}/>')
        lines = text.split("\n") if text else []
        step = size * 1.25
        for i, line in enumerate(lines):
            top = y + h / 2 - step * (len(lines) - 1) / 2 + step * i + size * 0.35
            self.text(x + w / 2, top, line, size=size if i == 0 else size - 1.5, bold=bold and i == 0, anchor="middle",
                      fill=INK if i == 0 else GREY)

    def text(self, x, y, text, *, size=13, bold=False, anchor="start", fill=INK, mono=False):
        """One line of text."""
        family = "DejaVu Sans Mono, monospace" if mono else "DejaVu Sans, Verdana, sans-serif"
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" fill="{fill}" '
                          f'font-family="{family}"{weight}>{escape(text)}</text>')

    def line(self, *points, arrow=True, both=False, color=INK, width=1.4, dash=""):
        """A polyline, with an arrow head at its end."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        style = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width}"{style}/>')
        if arrow:
            self._head(points[-2], points[-1], color)
        if both:
            self._head(points[1], points[0], color)

    def _head(self, start, end, color):
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
        ux, uy = dx / length, dy / length
        corners = [end, (end[0] - 8 * ux - 3.5 * uy, end[1] - 8 * uy + 3.5 * ux),
                   (end[0] - 8 * ux + 3.5 * uy, end[1] - 8 * uy - 3.5 * ux)]
        self.parts.append(f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}" fill="{color}"/>')

    def text_of_file(self) -> str:
        """The SVG file."""
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" role="img">', f"<title>{escape(self.title)}</title>",
            f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>', *self.parts, "</svg>", ""])


# The whole, for the README.

def overview() -> Drawing:
    """From a network to a bit-exact result, Verilog and area."""
    d = Drawing(900, 372, "From a .tflite network to a bit-exact result, cycle counts, Verilog, area and clock")
    d.box(20, 128, 126, 56, "network\nint8 .tflite", fill=PALE, bold=True)
    d.box(184, 128, 126, 56, "compiler\nfuse, tile, schedule", fill=AMBER, bold=True)
    d.box(348, 128, 126, 56, "image\ncommands, weights", fill=PALE, bold=True)
    d.line((146, 156), (184, 156))
    d.line((310, 156), (348, 156))
    levels = (("TensorFlow Lite Micro", "independent reference", RED, 20),
              ("tensor level", "numpy, operator by operator", GREEN, 90),
              ("machine level", "command stream, byte by byte", GREEN, 160),
              ("RTL", "Amaranth to Verilog, every cycle", BLUE, 230),
              ("cycle level", "predicts the clock cycles", GREEN, 300))
    for name, what, fill, y in levels:
        d.box(520, y, 204, 50, f"{name}\n{what}", fill=fill, bold=True)
    for y in (185, 255, 325):
        d.line((474, 156), (497, 156), (497, y), (520, y))
    for y, start in ((45, 128), (115, 128)):
        d.line((83, start), (83, y), (520, y))
    d.box(770, 90, 110, 120, "same bytes?\nevery output,\nevery sample", fill=PALE, bold=True)
    for y, at in ((45, 106), (115, 132), (185, 164), (255, 194)):
        d.line((724, y), (747, y), (747, at), (770, at))
    d.box(770, 272, 110, 62, "how near?\nclock cycles", fill=PALE, bold=True)
    d.line((724, 265), (737, 265), (737, 290), (770, 290))
    d.line((724, 325), (770, 325))
    d.box(184, 230, 290, 50, "Verilog and manifest\nsystolith verilog", fill=PALE, bold=True)
    d.line((520, 262), (474, 262))
    d.box(184, 304, 290, 50, "area, clock, critical path\nsystolith synth (yosys, nextpnr)", fill=PALE, bold=True)
    d.line((329, 280), (329, 304))
    return d


# Blocks of the accelerator.

def blocks() -> Drawing:
    """Block diagram."""
    d = Drawing(900, 560, "Blocks of the accelerator and what flows between them")
    d.box(20, 44, 860, 500, fill="#fbfcfd", radius=10)
    d.box(60, 10, 560, 30, "main memory (AXI4 manager m_axi, 32 to 128 bits)", fill=PALE)
    d.box(660, 10, 200, 30, "host (AXI4-Lite s_axil, irq)", fill=PALE)
    d.box(60, 76, 150, 54, "LOAD engine\nreads, id 0", fill=BLUE, bold=True)
    d.box(250, 76, 150, 54, "STORE engine\nwrites", fill=VIOLET, bold=True)
    d.line((135, 40), (135, 76))
    d.line((325, 76), (325, 40))
    d.box(440, 76, 180, 54, "command fetcher\nreads, id 1", fill=PALE, bold=True)
    d.line((530, 40), (530, 76))
    d.box(660, 76, 200, 54, "registers, counters,\nwatchdog", fill=PALE)
    d.line((760, 40), (760, 76), both=True)
    d.box(440, 158, 420, 58, "four engine queues and token counters\nLOAD    COMPUTE    VECTOR    STORE", fill=PALE, bold=True)
    d.line((530, 130), (530, 158))
    d.line((760, 130), (760, 158), both=True)
    d.text(768, 147, "counts", size=11, fill=GREY)
    d.line((440, 204), (425, 204), (425, 146), (170, 146), (170, 130), dash="5 3", color=GREY)
    d.line((325, 146), (325, 130), dash="5 3", color=GREY)
    d.text(418, 141, "commands", size=11, fill=GREY, anchor="end")

    d.box(40, 248, 118, 54, "weight buffer\ntile rows", fill=PALE, bold=True)
    d.box(178, 248, 236, 54, "activation buffer\nbanks, any byte address", fill=PALE, bold=True)
    d.box(700, 248, 160, 54, "parameter buffer\nbias, multiplier, shift", fill=PALE, bold=True)
    d.line((90, 130), (90, 248))
    d.line((190, 130), (190, 248))
    d.line((120, 130), (120, 230), (780, 230), (780, 248))
    d.line((370, 248), (370, 190), (300, 190), (300, 130))
    d.box(40, 336, 560, 188, fill="#f3faf4", radius=8)
    d.text(52, 515, "COMPUTE engine", bold=True, size=12)
    d.box(56, 350, 102, 46, "weight feeder\none tile ahead", fill=GREEN, size=12)
    d.box(178, 350, 236, 46, "activation feeder\nwindow walk: implicit im2col, padding", fill=GREEN, size=12)
    d.line((98, 302), (98, 350))
    d.line((240, 302), (240, 350))
    d.box(56, 428, 200, 66, "systolic array\nrows x cols, weight stationary", fill=GREEN, bold=True)
    d.line((98, 396), (98, 428))
    d.line((220, 396), (220, 428))
    d.box(316, 428, 260, 66, "accumulator buffer\ntwo halves, cols x 32 bits an entry", fill=GREEN, bold=True)
    d.line((256, 461), (316, 461))
    d.text(286, 452, "sums", size=11, fill=GREY, anchor="middle")
    d.box(640, 336, 220, 188, fill="#fef8ec", radius=8)
    d.text(652, 515, "VECTOR engine", bold=True, size=12)
    d.box(656, 350, 188, 40, "walk: window or entries", fill=AMBER, size=12)
    d.box(656, 402, 188, 40, "reduce: sum, max, scale", fill=AMBER, size=12)
    d.box(656, 454, 188, 40, "requantize, clamp to int8", fill=AMBER, size=12)
    d.line((750, 390), (750, 402))
    d.line((750, 442), (750, 454))
    d.line((576, 461), (612, 461), (612, 422), (656, 422))
    d.line((780, 302), (780, 336))
    d.line((656, 370), (626, 370), (626, 288), (414, 288), both=True)
    d.text(520, 281, "reads", size=11, fill=GREY, anchor="middle")
    d.line((844, 474), (876, 474), (876, 322), (396, 322), (396, 302))
    d.text(520, 317, "int8 results", size=11, fill=GREY, anchor="middle")
    d.line((560, 216), (560, 336), dash="5 3", color=GREY)
    d.line((680, 216), (680, 336), dash="5 3", color=GREY)
    return d


# The swap wave, from a simulation.

_ROWS, _COLS, _VECTORS = 4, 3, 2
_TILES = "ABCD"


def _simulate_array() -> dict[str, list[int]]:
    """Signals of column 0 of a 4x3 array, one value per cycle, under four tiles of two vectors each."""
    dut = SystolicArray(rows=_ROWS, cols=_COLS)
    pairs = _ROWS // WEIGHT_ROWS
    cycles = pairs * (len(_TILES) + 1) + 10

    async def drive(ctx):
        for cycle in range(cycles):
            # Pair 0 of tile k enters as long before its first vector as pairs take; column c and the odd rows lag.
            tile, pair = divmod(cycle, pairs)
            ctx.set(dut.load, int(tile < len(_TILES)))
            ctx.set(dut.load_pair, pair)
            for odd in range(WEIGHT_ROWS):
                for col in range(_COLS):
                    tile_c, pair_c = divmod(cycle - col - odd, pairs)
                    row = WEIGHT_ROWS * pair_c + odd
                    ctx.set(dut.weights[odd][col], 10 * (tile_c + 1) + row if 0 <= tile_c < len(_TILES) else 0)
            vector = cycle - pairs
            ctx.set(dut.swap, int(0 <= vector < _VECTORS * len(_TILES) and vector % _VECTORS == 0))
            for r in range(_ROWS):
                number = vector - r
                ctx.set(dut.activations[r], number + 1 if 0 <= number < _VECTORS * len(_TILES) else 0)
            await ctx.tick()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "array.vcd"
        simulate(dut, drive, timeout_cycles=cycles + 10, vcd=path)
        return _sample(path, cycles)


def _sample(path: Path, cycles: int) -> dict[str, list[int]]:
    """Values that each signal of a VCD file has just before every rising clock edge."""
    names: dict[str, list[str]] = {}
    scope: list[str] = []
    now: dict[str, int] = {}
    samples: dict[str, list[int]] = {}
    clock, edges = None, 0
    for line in path.read_text().splitlines():
        words = line.split()
        if line.startswith("$scope"):
            scope.append(words[2])
        elif line.startswith("$upscope"):
            scope.pop()
        elif line.startswith("$var"):
            names.setdefault(words[3], []).append(".".join([*scope, words[4]]))
            clock = words[3] if words[4] == "clk" and clock is None else clock
        elif words and words[0][0] in "01b" and (len(words) == 2 or words[0][0] != "b"):
            code, value = (words[1], int(words[0][1:], 2)) if words[0][0] == "b" else (line[1:], int(line[0]))
            if code == clock and value and not now.get(code):
                for key, before in now.items():
                    samples.setdefault(key, [0] * edges).append(before)
                edges += 1
            now[code] = value
    return {name: samples.get(code, [0] * cycles)[:cycles] for code, group in names.items() for name in group}


def _find(signals: dict[str, list[int]], row: int, name: str) -> list[int]:
    matches = [key for key in signals if f"pe_{row}_0" in key and key.split(".")[-1] == name]
    if len(matches) != 1:
        raise ValueError(f"Signal {name} of row {row} must be there once, not as {matches!r}")
    return signals[matches[0]]


def swap_wave() -> Drawing:
    """Column 0 of a 4x3 array, cycle by cycle."""
    signals = _simulate_array()
    first, last = 0, 14
    cell, left, top = 44, 148, 64
    lanes = ("arriving", "shadow", "active", "activation")
    d = Drawing(left + cell * (last - first + 1) + 20, 64 + _ROWS * (4 * 24 + 18) + 46,
                "Weights and activations in column 0 of a 4x3 array while four tiles pass")
    d.text(16, 24, "Column 0 of a 4x3 array, tiles A to D of two vectors each, back to back", bold=True, size=14)
    for cycle in range(first, last + 1):
        d.text(left + (cycle - first) * cell + cell / 2, 52, str(cycle), size=11, anchor="middle", fill=GREY)
    d.text(left - 10, 52, "cycle", size=11, anchor="end", fill=GREY)
    for row in range(_ROWS):
        base = top + row * (4 * 24 + 18)
        d.text(16, base + 16, f"PE ({row}, 0)", bold=True, size=12)
        values = {"arriving": _find(signals, row, "weight"), "shadow": _find(signals, row, "shadow"),
                  "active": _find(signals, row, "active"), "activation": _find(signals, row, "activation")}
        latch, swap = _find(signals, row, "latch"), _find(signals, row, "swap")
        for lane, name in enumerate(lanes):
            y = base + lane * 24
            d.text(left - 10, y + 16, name, size=11, anchor="end")
            for cycle in range(first, last + 1):
                x = left + (cycle - first) * cell
                value = values[name][cycle]
                label, fill, stroke = "", PALE, "#e1e6eb"
                if name == "activation" and value:
                    tile = _TILES[(value - 1) // _VECTORS]
                    label, fill = f"x{value}", TILE_COLORS[tile]
                elif name != "activation" and value:
                    tile = _TILES[value // 10 - 1]
                    label, fill = f"{tile}{value % 10}", TILE_COLORS[tile]
                    if name == "arriving" and not latch[cycle]:
                        fill = "#ffffff"
                marked = (name == "activation" and swap[cycle]) or (name == "arriving" and latch[cycle])
                d.box(x, y, cell, 22, label, fill=fill, size=11, stroke=INK if marked else stroke, radius=2)
    d.text(16, d.height - 26, "Framed: a weight with this row's number, kept as shadow at the end of the cycle; an activation "
           "with the swap flag,", size=11, fill=GREY)
    d.text(16, d.height - 10, "at which shadow becomes active. White: weights on their way to the rows below.",
           size=11, fill=GREY)
    return d


# Implicit im2col.

def im2col() -> Drawing:
    """Window walk with separate kernel columns, and row packing."""
    d = Drawing(900, 430, "Vectors of a window walk, without and with row packing")
    d.text(20, 26, "Slab in the activation buffer: NHWC bytes, one row of six pixels with three channels", bold=True, size=14)
    cell = 34

    def row(y, label, marks):
        d.text(20, y + 21, label, size=12)
        for byte in range(-3, 18):
            x = 150 + (byte + 3) * cell
            fill = marks.get(byte, "#ffffff" if byte >= 0 else PALE)
            d.box(x, y, cell, 30, "pad" if byte < 0 else f"{byte}", fill=fill, size=10, radius=1,
                  dash="3 2" if byte < 0 else "")

    d.text(150 + 3 * cell, 56, "byte of the row; pixel = byte // 3; bytes left of 0 read as pad, the zero point",
           size=11, fill=GREY)
    d.text(20, 92, "3x3 kernel walked column by column (kx_count 3): a vector is one pixel, 3 of 8 array rows work",
           size=12, bold=True)
    row(104, "kx 0, x 0", dict.fromkeys(range(-3, 0), BLUE))
    row(138, "kx 1, x 0", dict.fromkeys(range(0, 3), BLUE))
    row(172, "kx 2, x 0", dict.fromkeys(range(3, 6), BLUE))
    d.text(20, 236, "Row packing (kx_count 1): kernel row = one run of 9 bytes, in chunks of 8 array rows", size=12, bold=True)
    row(248, "chunk 0, x 0", dict.fromkeys(range(-3, 5), GREEN))
    row(282, "chunk 1, x 0", {5: AMBER, **dict.fromkeys(range(6, 13), "#fdf5e4")})
    row(316, "chunk 0, x 1", dict.fromkeys(range(0, 8), GREEN))
    d.text(20, 376, "x_byte_step 3 moves the window by one pixel; the address need not be a multiple of anything. Chunk 1 has",
           size=12)
    d.text(20, 396, "one useful byte: the lanes behind it (pale) read neighbours, whose weights in the tile are 0.", size=12)
    d.text(20, 418, "first_byte is -3 here: one column of padding on the left.", size=12)
    return d


# Tokens, from the cycle model.

_EXAMPLE = PRESETS["small-8x8"]
_STRIPS, _PIXELS, _IN, _OUT = 3, 64, 8, 16
_MEMORY = {"input": 0x1000, "weights": 0x2000, "parameters": 0x2800, "output": 0x3000, "size": 0x5000}


def example_program() -> list[bytes]:
    """A 1x1 convolution from 8 to 16 channels on 3 strips of 64 pixels, as a pipeline of all engines."""
    program = Program(_EXAMPLE, _MEMORY["size"])
    strip_in, strip_out = _PIXELS * _IN, _PIXELS * _OUT
    bank = _EXAMPLE.activation_bytes // 2
    depth = _EXAMPLE.accumulator_depth
    single = {"count_1": 1, "count_2": 1}

    def load_strip(i):
        program.append("LOAD", memory=_MEMORY["input"] + i * strip_in, buffer=i * strip_in, length=strip_in, **single,
                       writes=(Region("activation", i * strip_in, (i + 1) * strip_in),))

    program.append("LOAD", space=1, memory=_MEMORY["weights"], length=_IN * _OUT, **single,
                   writes=(Region("weight", 0, _IN * _OUT),))
    load_strip(0)
    program.append("LOAD", space=2, memory=_MEMORY["parameters"], length=12 * _OUT, **single,
                   writes=(Region("parameter", 0, 12 * _OUT),))
    program.append("PARAMS", scale_base=_OUT, channels=_OUT, reads=(Region("parameter", 0, 12 * _OUT),))
    for i in range(_STRIPS):
        if i:
            load_strip(i)
        half = i % 2 * depth
        program.append("COMPUTE", base=i * strip_in, rows=1, row_bytes=strip_in, y_count=1, x_count=_PIXELS, ky_count=1,
                       kx_count=1, x_byte_step=_IN, chunk_count=1, accumulator=half, block_count=2, block_step=_PIXELS,
                       reads=(Region("activation", i * strip_in, (i + 1) * strip_in), Region("weight", 0, _IN * _OUT)),
                       writes=(Region("accumulator", half, half + 2 * _PIXELS),))
        target = bank + i * strip_out
        program.append("VECTOR", base=half, y_count=1, x_count=_PIXELS, ky_count=1, kx_count=1, block_step=_PIXELS,
                       channels=_OUT, minimum=-128, maximum=127, destination=target, destination_x=_OUT,
                       reads=(Region("accumulator", half, half + 2 * _PIXELS),),
                       writes=(Region("activation", target, target + strip_out),))
        program.append("STORE", memory=_MEMORY["output"] + i * strip_out, buffer=target, length=strip_out, **single,
                       reads=(Region("activation", target, target + strip_out),))
    commands = program.encode()
    _check(commands)
    return commands


def _check(commands: list[bytes]) -> None:
    """Run the program on the machine model, which verifies the tokens."""
    memory = bytearray(_MEMORY["size"])
    memory[:64 * len(commands)] = b"".join(commands)
    scales = np.array([[1 << 30, 1]] * _OUT, "<u4").tobytes()
    memory[_MEMORY["parameters"] + 4 * _OUT:_MEMORY["parameters"] + 12 * _OUT] = scales
    Machine(_EXAMPLE, memory, check_hazards=True).run(0)


class _Recorder(CycleSimulation):
    """Cycle model that notes when commands are accepted and retire."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.spans: dict[int, list[float]] = {}

    def _accept(self, now, state):
        work, before = state.gate, state.unretired
        super()._accept(now, state)
        if state.unretired > before:
            self.spans[id(work)] = [now, now]

    def _retire(self, now, state, work):
        self.spans[id(work)][1] = now
        super()._retire(now, state, work)


def example_times() -> list[tuple[str, dict[str, int], int, int]]:
    """(command, fields, accepted, retired) of the example program, in cycles from the start strobe."""
    commands = example_program()
    book = Workbook(_EXAMPLE, CycleConstants())
    works = [book.work(command) for command in commands]
    simulation = _Recorder(_EXAMPLE, CycleConstants(), works, 20, 0)
    simulation.run()
    result = []
    for data, work in zip(commands, works, strict=True):
        command, values = decode(data)
        if command.engine is not None:
            start, stop = simulation.spans[id(work)]
            result.append((command.name, values, int(start), int(stop)))
    return result


def example_table() -> str:
    """The example program as a Markdown table."""
    def mask(value):
        return ", ".join(engine.name for engine in Engine if value >> engine & 1)

    lines = ["| | command | does | waits for | signals | accepted | retired |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for number, (name, values, start, stop) in enumerate(example_times()):
        lines.append(f"| {number} | {name} | {_what(name, values)} | {mask(values['wait'])} | {mask(values['signal'])} "
                     f"| {start} | {stop} |")
    return "\n".join(lines)


def _what(name: str, values: dict[str, int]) -> str:
    strip_in, strip_out = _PIXELS * _IN, _PIXELS * _OUT
    match name:
        case "LOAD" if values["space"] == 1:
            return "weights"
        case "LOAD" if values["space"] == 2:
            return "parameters"
        case "LOAD":
            return f"input strip {values['buffer'] // strip_in}"
        case "PARAMS":
            return "lane tables"
        case "COMPUTE":
            return f"strip {values['base'] // strip_in} into half {values['accumulator'] // _EXAMPLE.accumulator_depth}"
        case "VECTOR":
            half = values["base"] // _EXAMPLE.accumulator_depth
            return f"half {half} to output strip {(values['destination'] - _EXAMPLE.activation_bytes // 2) // strip_out}"
        case _:
            return f"output strip {(values['memory'] - _MEMORY['output']) // strip_out}"


def tokens() -> Drawing:
    """Engines over time, with the tokens of the example program."""
    entries = example_times()
    engines = {"LOAD": Engine.LOAD, "COMPUTE": Engine.COMPUTE, "VECTOR": Engine.VECTOR, "PARAMS": Engine.VECTOR,
               "STORE": Engine.STORE}
    end = max(stop for *_, stop in entries)
    scale, left, top, pitch = 720 / end, 110, 70, 92
    d = Drawing(870, 470, "The four engines over time in the example program")
    d.text(16, 24, "Example program on small-8x8, memory latency 20 cycles: from acceptance to retirement, cycle model",
           bold=True, size=13)
    for cycle in range(0, end + 50, 100):
        x = left + cycle * scale
        d.line((x, 48), (x, top + 4 * pitch - 12), arrow=False, color="#e1e6eb", width=1)
        d.text(x, 44, str(cycle), size=11, anchor="middle", fill=GREY)
    for engine in Engine:
        d.text(16, top + engine * pitch + 40, engine.name, bold=True, size=13)
    places = []
    sublane = dict.fromkeys(Engine, 0)
    ends = {engine: [-1] * 4 for engine in Engine}
    for name, _, start, stop in entries:
        engine = engines[name]
        lane = next((i for i, at in enumerate(ends[engine]) if at <= start), sublane[engine] % 4)
        ends[engine][lane] = stop
        sublane[engine] += 1
        places.append((left + start * scale, left + stop * scale, top + engine * pitch + 2 + lane * 22))
    # Tokens count: the n-th wait takes the n-th signal of the pair of engines.
    signals: dict[tuple[int, int], list[int]] = {}
    for index, (name, values, *_) in enumerate(entries):
        for other in Engine:
            if values["signal"] >> other & 1:
                signals.setdefault((engines[name], other), []).append(index)
    for index, (name, values, *_) in enumerate(entries):
        for other in Engine:
            if values["wait"] >> other & 1:
                giver = signals[other, engines[name]].pop(0)
                x1, y1 = places[giver][1], places[giver][2] + 10
                x2, y2 = places[index][0], places[index][2] + (0 if places[index][2] > y1 else 20)
                d.line((x1, y1), (x2, y2), color="#b0413e", width=1.2)
    short = {"LOAD": "L", "COMPUTE": "C", "VECTOR": "V", "PARAMS": "P", "STORE": "S"}
    for number, ((name, *_), (x1, x2, y)) in enumerate(zip(entries, places, strict=True)):
        d.box(round(x1, 1), y, round(max(x2 - x1, 20), 1), 20, f"{short[name]}{number}",
              fill=ENGINE_COLORS[engines[name]], size=11, radius=3)
    d.text(16, 452, "Red: a token, from the command that gives it at its retirement to the one that takes it. Numbers as in "
           "the table.", size=11, fill=GREY)
    return d


class _ReportFigure:
    """A figure of `systolith report` as a file of its own."""

    def __init__(self, drawing):
        self._drawing = drawing

    def text_of_file(self) -> str:
        """Text of the SVG file."""
        return f"{self._drawing}\n"


def report_timeline() -> _ReportFigure:
    """Timeline of LeNet-5 on small-8x8, as the report draws it."""
    graph = read_tflite(LENET)
    run = infer(graph, PRESETS["small-8x8"], [random_sample(graph, 1)], level="tensor", explained=True)
    return _ReportFigure(timeline_chart(Run("lenet5 on small-8x8", run.to_json(), PRESETS["small-8x8"])))


FIGURES = {"overview": overview, "blocks": blocks, "swap_wave": swap_wave, "im2col": im2col, "tokens": tokens,
           "report_timeline": report_timeline}
