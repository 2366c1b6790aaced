"""Draws docs/figures/tile.svg: one weight tile and its vectors on their way through a 4x4 array, from a run on the RTL."""

import tempfile
from pathlib import Path

from systolith_report.wave_chart import Trace, wave_chart
from systolith_sim.gemm import gemm_graph, gemm_sample
from systolith_sim.inference import infer
from systolith_sim.waves import read_signals
from systolith_spec.presets import preset

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "figures" / "tile.svg"
CONFIG = "tiny-4x4"
PERIOD = 10_000  # ps
CYCLES = 26
_ARRAY = "testbench.dut.compute.array.array"


def draw(waves: Path) -> str:
    """The figure for a dump of a product on a 4x4 array."""
    size = range(preset(CONFIG).rows)
    names = {
        "clk": "testbench.clk", "compute": "decoded.compute", "load": "testbench.dut.compute.array.load",
        "weights": "testbench.dut.compute.array.weights",
        **{f"swap{row}": f"{_ARRAY}.pe_{row}_0.swap" for row in size},
        **{f"active{row}": f"{_ARRAY}.pe_{row}_0.active" for row in size},
        **{f"activation{row}": f"{_ARRAY}.pe_{row}_0.activation" for row in size},
        **{f"sum{column}": f"{_ARRAY}.pe_{size[-1]}_{column}.s4_sum" for column in size},
    }
    signals = read_signals(waves, names)
    begin = next(time for time, value in signals["load"] if value) - 2 * PERIOD
    first = next(time for time, value in signals["swap0"] if value)
    traces: list[Trace | None] = [
        Trace("decoded.compute", signals["compute"], width=8, color="#fbe6c0"),
        Trace("array: a row of weights", signals["load"]),
        None,
        *(Trace(f"row {row}: swap", signals[f"swap{row}"]) for row in size),
        None,
        *(Trace(f"row {row}: weight in use", signals[f"active{row}"], width=8, color="#cfe2f7", signed=True) for row in size),
        None,
        *(Trace(f"row {row}: activation", signals[f"activation{row}"], width=8, color="#d3ecd6", signed=True) for row in size),
        None,
        *(Trace(f"column {column}: sum", signals[f"sum{column}"], width=preset(CONFIG).sum_width, color="#e4d8f3", signed=True)
          for column in size),
    ]
    return str(wave_chart(traces, begin, begin + CYCLES * PERIOD, period=PERIOD, title="A weight tile in a 4x4 array",
                          marks=((first, "A"),)))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        waves = Path(folder) / "run.vcd"
        infer(gemm_graph(8, 8, 8, 1), preset(CONFIG), [gemm_sample(8, 8, 1)], waves=waves)
        FIGURE.write_text(draw(waves) + "\n")


if __name__ == "__main__":
    main()
