"""What an exploration found, as tables, a Pareto chart and pages."""

from systolith_explore.area_model import RESOURCES, area_model
from systolith_explore.clock_model import clock_model
from systolith_explore.evaluation import evaluate, operator_mix
from systolith_explore.search import Candidate, Exploration, estimate
from systolith_explore.space import choice_of, neighbours
from systolith_explore.synthesis_time import synthesis_time
from systolith_report.page import Figure, Section, Table
from systolith_report.svg import Drawing, ticks
from systolith_spec.config import AcceleratorConfig
from systolith_spec.presets import preset

__all__ = ["candidate_rows", "describe", "explain_winner", "exploration_sections", "nothing_fits", "pareto_chart",
           "predicted_only"]

_WIDTH = 960
_BLUE, _AMBER, _GREY = "#3f6fa8", "#c98a1b", "#cfd6dc"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def describe(config: AcceleratorConfig) -> str:
    """A configuration in a few words."""
    choice = choice_of(config)
    return (f"{choice['rows']} x {choice['cols']}, {_count(config.vector_lanes, 'lane')}, {choice['activation_kib']}"
            f" + {choice['weight_kib']} KiB, {choice['accumulator_depth']} sums, {choice['axi_data_width']} bit, "
            f"{_count(choice['depthwise_streams'], 'stream')}"
            + (f", {config.dsp_budget} multipliers of the array in DSP blocks"
               if config.dsp_budget < config.processing_elements else ""))


def candidate_rows(candidates: list[Candidate]) -> list[list[str]]:
    """Name, area, clock and speed of each; why it cannot be used behind the name."""
    return [[entry.config.name + (f": {entry.misfit}" if entry.misfit else ""),
             *(f"{entry.area[resource]:,}" for resource in RESOURCES), f"{entry.clock_mhz:.0f}",
             f"{entry.fps:,.1f}" if entry.fps else ""] for entry in candidates]


def pareto_chart(exploration: Exploration) -> Drawing:
    """Speed over LUTs of everything judged; the line joins what nothing beats in both."""
    usable = [entry for entry in exploration.candidates if entry.fps]
    drawing = Drawing(_WIDTH, 400, "Speed over area")
    left, base, right, top = 70, 350, _WIDTH - 20, 20
    limit = exploration.board.capacity["lut"]
    most_lut = 1.15 * max((entry.area["lut"] for entry in usable), default=limit)
    most_fps = 1.15 * max((entry.fps for entry in usable), default=1.0)

    def place(entry: Candidate) -> tuple[float, float]:
        return left + (right - left) * entry.area["lut"] / most_lut, base - (base - top) * entry.fps / most_fps

    for value in ticks(most_lut, 8):
        x = left + (right - left) * value / most_lut
        drawing.line(x, top, x, base)
        drawing.text(x, base + 14, f"{value:,.0f}", anchor="middle", size=10, color="#57606a")
    for value in ticks(most_fps, 6):
        y = base - (base - top) * value / most_fps
        drawing.line(left, y, right, y)
        drawing.text(left - 6, y + 4, f"{value:,.0f}", anchor="end", size=10, color="#57606a")
    if limit < most_lut:
        x = left + (right - left) * limit / most_lut
        drawing.line(x, top, x, base, "#a83f3f", stroke_dasharray="4 3")
        drawing.text(x - 4, top + 10, "the FPGA's LUTs", anchor="end", size=10, color="#a83f3f")
    for entry in usable:
        drawing.circle(*place(entry), 4, _GREY, f"{entry.config.name}: {entry.fps:,.1f}/s, {entry.area['lut']:,} LUT4")
    front = exploration.pareto
    steps: list[tuple[float, float]] = []
    for entry in front:
        x, y = place(entry)
        steps += [(x, steps[-1][1]), (x, y)] if steps else [(x, y)]
    if steps:
        drawing.polyline(steps, _BLUE, stroke_width=1.5)
    for entry in front:
        drawing.circle(*place(entry), 5, _BLUE, f"{entry.config.name}: {describe(entry.config)}; {entry.fps:,.1f}/s, "
                       f"{entry.area['lut']:,} LUT4")
    for entry in exploration.presets:
        if entry.fps:
            x, y = place(entry)
            drawing.circle(x, y, 6, _AMBER, entry.config.name)
            drawing.text(x + 9, y + 4, entry.config.name, size=10)
    if exploration.winner:
        x, y = place(exploration.winner)
        drawing.raw(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="10" fill="none" stroke="#24292f" stroke-width="1.5"/>')
        drawing.text(x - 14, y - 8, "chosen", anchor="end", size=11)
    drawing.text(right, base + 30, "LUT4, predicted", anchor="end", size=10, color="#57606a")
    drawing.text(left, 12, "inferences a second, geometric mean, predicted", size=10, color="#57606a")
    drawing.legend(left, 388, [(_BLUE, "on the Pareto front"), (_GREY, "other candidates"), (_AMBER, "presets")])
    return drawing


def explain_winner(exploration: Exploration, models: tuple[str, ...]) -> tuple[list[dict], list[dict]]:
    """The operator mix of the networks on the winner, and what a step away from it in each parameter does.

    Returns
    -------
    mix : list of dict
        As `operator_mix` gives.
    steps : list of dict
        "parameter", "here", "there", "fps" (factor; None where it does not fit or run) and "lut" (difference).
    """
    winner = exploration.winner
    usual = Candidate(winner.config, winner.area, winner.clock_mhz, evaluate(winner.config, models))
    steps = []
    for name, here, there, config in neighbours(winner.config):
        other = estimate(config, exploration.board, exploration.dsp_budget, "search")
        if not other.misfit:
            other.networks = evaluate(config, models)
            if any(entry.cycles is None for entry in other.networks):
                other.misfit = "a network cannot run on it"
        steps.append({"parameter": name, "here": here, "there": there, "fps": None if other.misfit else other.fps / usual.fps,
                      "lut": other.area["lut"] - winner.area["lut"], "misfit": other.misfit})
    return operator_mix(winner.config, models), steps


def predicted_only(exploration: Exploration, confirmed: dict) -> list[str]:
    """A sentence for what may be better than the winner, but was not confirmed: the best and every preset."""
    waiting = [entry for entry in exploration.ahead if entry.config.name not in confirmed]
    return [f"Predicted only: {entry.config.name}, {describe(entry.config)}: {entry.fps:,.1f} inferences a second, "
            f"{entry.area['lut']:,} LUT4, about {synthesis_time().minutes(entry.area['lut']):.0f} minutes to place and route."
            for entry in waiting if entry is waiting[0] or entry.origin == "preset"]


def _confirmed_row(name: str, entry: dict) -> list[str]:
    if "misfit" in entry:
        return [f"{name}: {entry['misfit']}", *[""] * 6]
    exact = all(network["bit_exact"] for network in entry["networks"])
    return [f"{name}, {'bit-exact' if exact else 'WRONG'}", *(f"{entry['area'][resource]:,}" for resource in RESOURCES),
            f"{entry['clock_mhz']:.1f}", f"{entry['fps']:,.1f}"]


def nothing_fits(exploration: Exploration) -> str:
    """Why there is no winner, and what there is instead."""
    board, least = exploration.board, exploration.least
    own = preset(board.preset)
    instead = "" if own.control == "parallel" else (
        f" Designs with serial control are not searched: the board's preset, {own.name}, is one.")
    return f"Nothing fits {board.name}.{instead} The smallest that was judged, {least.config.name}, {least.misfit}."


def exploration_sections(exploration: Exploration, mix: list[dict], steps: list[dict], confirmed: dict) -> list[Section]:
    """Sections of the pages."""
    goals = {"fps": "the most inferences a second (geometric mean of the networks)",
             "latency": "the shortest longest inference",
             "area": f"the fewest LUTs at {exploration.least_fps:,.1f} inferences a second or more"}
    head = ["configuration", "LUT4", "flip-flops", "DSP", "block RAM", "MHz", "inferences/s"]
    first = Section("Result", 2, [f"Board: {exploration.board.title}. Wanted: {goals[exploration.objective]}. "
                                  f"{len(exploration.candidates)} configurations judged. Predicted clocks are within "
                                  f"{clock_model().error:.0%} of the measured designs."])
    if exploration.winner is None:
        least = exploration.least
        first.blocks.append(f"{nothing_fits(exploration)} It consists of:")
        first.blocks.append(Table(["part", "LUT4", "flip-flops", "DSP", "block RAM"], [
            [part, *(f"{sizes[resource]:,.0f}" for resource in RESOURCES)]
            for part, sizes in area_model().predict(least.config).parts.items()]))
    else:
        first.blocks.append(f"Chosen: {exploration.winner.config.name}, {describe(exploration.winner.config)}.")
    if confirmed:
        first.blocks += predicted_only(exploration, confirmed)
    first.blocks.append(Figure(pareto_chart(exploration), "Speed over area, predicted, with quickly compiled programs."))
    finalists = Section("Best configurations", 3, [
        "Predicted, with programs compiled in full. Names list rows x columns, columns for each lane, KiB of activations and "
        "of weights, accumulator entries, bits of the bus, streams of column mode.",
        Table(head, candidate_rows(exploration.finalists))])
    presets = Section("Presets", 3, [Table(head, candidate_rows(exploration.presets))])
    sections = [first, finalists, presets]
    if confirmed:
        rows = [_confirmed_row(name, entry) for name, entry in confirmed.items()]
        sections.append(Section("Confirmed by synthesis and RTL simulation", 3, [Table(head, rows)]))
    if exploration.winner:
        why = Section("Why this one", 3, [
            "What the networks consist of, on the chosen configuration:",
            Table(["network", "operator", "bound by", "layers", "multiplications", "cycles"], [
                [row["model"], row["op"], row["bound"], str(row["layers"]), f"{row['macs']:.1%}", f"{row['cycles']:.1%}"]
                for row in mix], left=3),
            "What one step away in each parameter would do:",
            Table(["parameter", "chosen", "instead", "speed", "LUT4"], [
                [row["parameter"], str(row["here"]), str(row["there"]),
                 row["misfit"] or f"{row['fps'] - 1:+.1%}", f"{row['lut']:+,}"] for row in steps])])
        sections.append(why)
    return sections
