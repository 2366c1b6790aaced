"""`systolith explore`: the accelerator that runs a set of networks best on a board."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from systolith_boards.boards import BOARDS
from systolith_cli.errors import UserError, guarded
from systolith_cli.options import JsonOption, SeedOption
from systolith_cli.output import Activities, console, write_json
from systolith_compiler.tflite_reader import read_tflite
from systolith_sim.workers import workers

if TYPE_CHECKING:
    from systolith_explore.search import Exploration

__all__ = ["explore"]


def _show(screen: Console, title: str, found: "Exploration", confirmed: dict) -> None:
    """Table of the best, and what was measured."""
    from systolith_explore.presentation import candidate_rows, predicted_only

    table = Table(title=title)
    for column in ("configuration", "LUT4", "FF", "DSP", "BRAM", "MHz", "per second"):
        table.add_column(column, justify="left" if column == "configuration" else "right")
    for row, entry in zip(candidate_rows(found.finalists), found.finalists, strict=True):
        table.add_row(*row, style="bold green" if entry is found.winner else None)
    screen.print(table)
    for name, entry in confirmed.items():
        screen.print(f"confirmed {name}: " + (entry.get("misfit") or (
            f"{entry['fps']:,.1f} per second at {entry['clock_mhz']:.1f} MHz, {entry['area']['lut']:,} LUT4")))
    for sentence in predicted_only(found, confirmed) if confirmed else ():
        screen.print(sentence)


@guarded
def explore(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL.tflite...", help="int8 .tflite networks.")],
    board: Annotated[str, typer.Option("--board", "-b", metavar="BOARD", help="See `systolith boards`.")] = "ulx3s-85f",
    objective: Annotated[str, typer.Option(help="fps (geometric mean of inferences a second), latency (of the slowest network) "
                                           "or area (fewest LUTs at the speed of --least-fps).")] = "fps",
    budget: Annotated[int, typer.Option(min=1, max=100_000, help="Configurations to judge.")] = 200,
    dsp: Annotated[int | None, typer.Option(min=0, help="Multipliers of the FPGA that may be used; all by default.")] = None,
    least_fps: Annotated[float | None, typer.Option(min=0, help="Objective area: speed to keep up; by default the preset's."
                                                    )] = None,
    confirm: Annotated[bool, typer.Option(help="Synthesise the winner and its rival among the presets, and run every network "
                                          "on their RTL.")] = True,
    confirm_minutes: Annotated[float, typer.Option(min=1, metavar="MINUTES", help="Time for that; what takes longer to place "
                                                   "and route, by a law fitted to measured runs, is predicted only.")] = 15,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for pages, configuration and the journal "
                                      "from which an interrupted search goes on.")] = Path("build/explore"),
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=256, help="Local processes.")] = 2,
    cluster: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Use the workers of a Dask scheduler instead.")] = None,
    seed: SeedOption = 1,
    json: JsonOption = None,
) -> None:
    """Search for the accelerator that runs networks best on a board, with a cycle model and an area model.

    Writes report.html and report.md (Pareto chart, what explains the choice), and winner.json for --config.

    Example: [dim]systolith explore net.tflite --board ulx3s-85f --budget 100 --no-confirm[/dim]
    """
    from systolith_explore.area_model import area_model
    from systolith_explore.confirm import confirm_best
    from systolith_explore.presentation import explain_winner, exploration_sections, nothing_fits
    from systolith_explore.search import OBJECTIVES
    from systolith_explore.search import explore as search
    from systolith_explore.synthesis_time import synthesis_time
    from systolith_report.page import write_pages

    if objective not in OBJECTIVES:
        raise UserError(f"Objective must be one of {', '.join(OBJECTIVES)}, not {objective!r}")
    if board not in BOARDS:
        raise UserError(f"Board must be one of {', '.join(BOARDS)}, not {board!r}")
    for model in models:
        read_tflite(model)  # a file that cannot be used is refused before any work
    screen = console(json)
    out.mkdir(parents=True, exist_ok=True)
    text = f"exploring for {board}"
    with Activities(screen, text) as activities, workers(jobs, cluster) as executor:
        found = search(
            models, BOARDS[board], executor, objective=objective, budget=budget, dsp_budget=dsp, least_fps=least_fps,
            most_lut=synthesis_time().most_luts(confirm_minutes) if confirm else None, journal=out / "study.journal", seed=seed,
            progress=lambda fraction, what: activities.update(0, fraction, f"{text}: {what}"))
        confirmed = confirm_best(found, models, out / "synthesis", lambda what: activities.update(
            0, 0.95, f"{text}: {what}"), confirm_minutes, jobs) if confirm and found.winner else {}
    paths = tuple(str(model.resolve()) for model in models)
    mix, steps = explain_winner(found, paths) if found.winner else ([], [])
    title = f"{', '.join(model.stem for model in models)} on {board}"
    write_pages(title, exploration_sections(found, mix, steps, confirmed), out)
    _show(screen, f"{title}: {objective}", found, confirmed)
    if found.winner:
        write_json(out / "winner.json", found.winner.config.as_dict())
        screen.print(f"{out / 'winner.json'} is the configuration, {out / 'report.html'} says why")
    write_json(json, {
        "board": board, "objective": objective, "models": [model.stem for model in models], "judged": len(found.candidates),
        "least_fps": found.least_fps, "winner": found.winner.to_json() if found.winner else None,
        "predicted": found.predicted.to_json() if found.predicted else None,
        "least": found.least.to_json(),
        "least_parts": {part: round(sizes["lut"]) for part, sizes in area_model().predict(found.least.config).parts.items()},
        "finalists": [entry.to_json() for entry in found.finalists], "presets": [entry.to_json() for entry in found.presets],
        "pareto": [entry.to_json() for entry in found.pareto], "operator_mix": mix, "steps": steps, "confirmed": confirmed})
    if found.winner is None:
        raise UserError(f"{nothing_fits(found)} {out / 'report.html'} lists its parts")
