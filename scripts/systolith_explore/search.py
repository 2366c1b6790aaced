"""The search: configurations proposed by Optuna, judged by cycle, area and clock model; the best compiled in full."""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from systolith_boards.boards import Board
from systolith_explore.area_model import RESOURCES, area_model
from systolith_explore.clock_model import clock_model
from systolith_explore.evaluation import NetworkCycles, evaluate, needed_units, workload_key
from systolith_explore.space import CHOICES, build_config, choice_of, neighbours
from systolith_sim.cache import digest
from systolith_spec.config import AcceleratorConfig, ConfigurationError
from systolith_spec.presets import PRESETS

__all__ = ["OBJECTIVES", "Candidate", "Exploration", "estimate", "explore"]

OBJECTIVES = ("fps", "latency", "area")
_LIMITS = {"lut": 0.9, "ff": 0.9, "dsp": 1.0, "bram": 1.0}  # shares of the FPGA that still place and route
_BLOCK_RAMS = {"ice40": 4}  # of 4 kbit, for one of ECP5 with 18 kbit
_SPEEDS = {"ice40": 0.35, "gowin": 0.6, ("ecp5", "8"): 1.14}  # clock beside that of ECP5, speed grade 6; others rough
_BATCH = 8  # proposals judged together
_FINALISTS = 6
_SPARE = 1.05  # times the speed to keep up
_CLOSE = 0.8  # of the speed of the best
_MOST_CLIMBS = 8
_WORST = (0.0, 1e9)


@dataclass
class Candidate:
    """A configuration and what is known about it.

    Attributes
    ----------
    config : AcceleratorConfig
    area : dict of str to int
        Predicted, by `RESOURCES`.
    clock_mhz : float
        Predicted.
    networks : list of NetworkCycles
        Empty for one that does not fit.
    origin : str
        "search" or "preset".
    misfit : str
        Why it cannot be used; empty if it can.
    """

    config: AcceleratorConfig
    area: dict[str, int]
    clock_mhz: float
    networks: list[NetworkCycles] = field(default_factory=list)
    origin: str = "search"
    misfit: str = ""

    @property
    def rates(self) -> list[float]:
        """Inferences a second of each network."""
        return [self.clock_mhz * 1e6 / entry.cycles for entry in self.networks]

    @property
    def fps(self) -> float:
        """Geometric mean of the rates; 0 for one that cannot be used."""
        return prod(self.rates) ** (1 / len(self.rates)) if self.networks and not self.misfit else 0.0

    @property
    def latency_ms(self) -> float:
        """Longest inference, milliseconds."""
        return 1000 / min(self.rates) if self.networks and not self.misfit else float("inf")

    def to_json(self) -> dict:
        """Plain values."""
        return {"name": self.config.name, "origin": self.origin, "configuration": self.config.as_dict(), "area": self.area,
                "clock_mhz": round(self.clock_mhz, 2), "fps": round(self.fps, 2),
                "latency_ms": round(self.latency_ms, 4) if self.fps else None, "misfit": self.misfit,
                "networks": [vars(entry) for entry in self.networks]}


@dataclass
class Exploration:
    """Result of `explore`.

    Attributes
    ----------
    winner : Candidate or None
        The best by the objective; None when nothing fits.
    finalists : list of Candidate
        Compiled in full, best first.
    presets : list of Candidate
        Every preset, those that do not fit too.
    candidates : list of Candidate
        Everything judged, with quick programs.
    least_fps : float
        Objective "area": speed that a candidate must have.
    predicted : Candidate or None
        The best by prediction alone; `confirm_best` may choose another winner.
    dsp_budget : int or None
        Multipliers of the FPGA that may be used.
    """

    board: Board
    objective: str
    winner: Candidate | None
    finalists: list[Candidate]
    presets: list[Candidate]
    candidates: list[Candidate]
    least_fps: float = 0.0
    predicted: Candidate | None = None
    dsp_budget: int | None = None

    @property
    def least(self) -> Candidate:
        """The smallest candidate, whether it fits or not."""
        return min(self.candidates, key=lambda entry: entry.area["lut"])

    @property
    def usable(self) -> list[Candidate]:
        """Finalists that run every network, as fast as asked for."""
        return [entry for entry in self.finalists if entry.fps and entry.fps >= self.least_fps]

    @property
    def ahead(self) -> list[Candidate]:
        """Usable finalists that are predicted to be better than the winner."""
        usable = self.usable
        return usable[:usable.index(self.winner)] if self.winner in usable else usable

    @property
    def pareto(self) -> list[Candidate]:
        """Candidates that none beats in both speed and LUTs, smallest first."""
        front: list[Candidate] = []
        for candidate in sorted(self.candidates, key=lambda entry: (entry.area["lut"], -entry.fps)):
            if candidate.fps > max((entry.fps for entry in front), default=0.0):
                front.append(candidate)
        return front


def estimate(config: AcceleratorConfig, board: Board, dsp_budget: int | None, origin: str) -> Candidate:
    """Area, clock and whether it fits."""
    available = {resource: int(board.capacity[resource] * share) for resource, share in _LIMITS.items()}
    if dsp_budget is not None:
        available["dsp"] = min(available["dsp"], dsp_budget)
    config = _within(config, available["dsp"])
    prediction = area_model().predict(config)
    area = {resource: getattr(prediction, resource) for resource in RESOURCES}
    # Measured on ECP5 only. Elsewhere: block RAMs of another size; requantizers take several of the smaller multipliers.
    area["bram"] *= _BLOCK_RAMS.get(board.family, 1)
    if board.family == "gowin":
        area["dsp"] += round(prediction.parts["vector"]["dsp"])
    misfit = ""
    for resource in RESOURCES:
        if area[resource] > available[resource]:
            misfit = misfit or f"needs {area[resource]:,} {resource.upper()}, may use {available[resource]:,}"
    clock_mhz = clock_model().predict(area["lut"]) * _SPEEDS.get((board.family, board.speed), _SPEEDS.get(board.family, 1.0))
    return Candidate(config, area, clock_mhz, origin=origin, misfit=misfit)


def _within(config: AcceleratorConfig, blocks: int) -> AcceleratorConfig:
    """The configuration with as many multipliers of the array in LUTs as DSP blocks lack, as synthesis does it."""
    lacking = area_model().predict(config).dsp - blocks
    in_blocks = min(config.dsp_budget, config.processing_elements)
    return replace(config, dsp_budget=in_blocks - lacking) if 0 < lacking <= in_blocks else config


def _judge(candidates: list[Candidate], models: tuple[str, ...], executor: Executor, search: bool, hosted: list[int]) -> None:
    """Fill in the cycles of those that fit."""
    fitting = [candidate for candidate in candidates if not candidate.misfit]
    futures = [executor.submit(evaluate, candidate.config, models, search) for candidate in fitting]
    for candidate, future in zip(fitting, futures, strict=True):
        candidate.networks = future.result()
        for entry, host_ops in zip(candidate.networks, hosted, strict=True):
            if entry.cycles is None or entry.host_ops > host_ops:
                candidate.misfit = f"{entry.model} cannot run on it" if entry.cycles is None else (
                    f"leaves {entry.host_ops - host_ops} more of {entry.model} to the host")


def _key(objective: str, least_fps: float) -> Callable[[Candidate], tuple]:
    """Sorts candidates, best first."""
    if objective == "area":
        return lambda entry: (entry.fps < least_fps, entry.area["lut"] if entry.fps >= least_fps else -entry.fps)
    if objective == "latency":
        return lambda entry: (entry.latency_ms, entry.area["lut"])
    return lambda entry: (-entry.fps, entry.area["lut"])


def _preset_candidates(board: Board, dsp_budget: int | None) -> list[Candidate]:
    """Presets, the board's own first; others of the same hardware are left out."""
    own = [config for config in PRESETS.values() if config.name == board.preset]
    different: list[AcceleratorConfig] = []
    for config in [*own, *PRESETS.values()]:
        if all(_hardware(config) != _hardware(other) for other in different):
            different.append(config)
    return [estimate(config, board, dsp_budget, "preset") for config in different]


def _hardware(config: AcceleratorConfig) -> AcceleratorConfig:
    return replace(config, name="", multiplier_style="generic")


def explore(models: Iterable[Path], board: Board, executor: Executor, *, objective: str = "fps", budget: int = 200,
            dsp_budget: int | None = None, least_fps: float | None = None, most_lut: int | None = None,
            journal: Path | None = None, seed: int = 1,
            progress: Callable[[float, str], None] = lambda fraction, what: None) -> Exploration:
    """Search for the configuration that runs networks best on a board.

    Parameters
    ----------
    models : iterable of Path
        .tflite files.
    board : Board
    executor : Executor
        Does the compiling: `concurrent.futures` or anything with the same `submit`.
    objective : str
        "fps" (geometric mean of the networks' rates), "latency" (the longest) or "area" (fewest LUTs).
    budget : int
        Configurations to judge.
    dsp_budget : int or None
        Multipliers of the FPGA that may be used; None: all.
    least_fps : float or None
        Objective "area": geometric mean of the rates to keep up; by default that of the board's preset, or of the fastest
        preset that fits.
    most_lut : int or None
        LUTs of the largest that can be confirmed in time: the best of those are finalists too.
    journal : Path or None
        File that keeps what Optuna has tried; a second call goes on there.
    seed : int
    progress : callable
        Called with the fraction done and what is being done.
    """
    paths = tuple(str(Path(model).resolve()) for model in models)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    units = needed_units(paths)
    hosted = [entry.host_ops for entry in evaluate(PRESETS["small-8x8"], paths)]
    presets = _preset_candidates(board, dsp_budget)
    _judge(presets, paths, executor, False, hosted)
    fastest = max(presets, key=lambda entry: entry.fps)
    own = next((entry for entry in presets if entry.config.name == board.preset and entry.fps), fastest)
    least_fps = (own.fps if least_fps is None else least_fps) if objective == "area" else 0.0
    key = _key(objective, least_fps)
    tried = _search(board, executor, paths, units, hosted, budget, dsp_budget, journal, seed, progress, key, most_lut)
    pool = sorted([entry for entry in (*presets, *tried) if entry.fps], key=key)
    finalists = pool[:_FINALISTS]
    if objective == "area":  # compiled in full, the preset may gain more than they do
        spare = sorted(pool, key=_key(objective, _SPARE * least_fps))
        finalists += [entry for entry in spare if entry not in finalists][:_FINALISTS // 2]
    if most_lut is not None:
        finalists += [entry for entry in pool if entry.area["lut"] <= most_lut and entry not in finalists][:_FINALISTS // 2]
    # A preset that is far behind stays so when compiled in full.
    finalists += [entry for entry in presets if entry.fps and entry not in finalists and (
        entry is own or entry.fps >= _CLOSE * pool[0].fps or entry.latency_ms <= pool[0].latency_ms / _CLOSE)]
    progress(0.9, f"compiling for the best {len(finalists)} in full")
    full = [replace(entry, networks=[]) for entry in finalists]
    _judge(full, paths, executor, True, hosted)
    if objective == "area" and own.fps:  # the preset's speed counts as compiled in full too
        least_fps = next((entry.fps for entry in full if entry.config == own.config), least_fps)
    full.sort(key=_key(objective, least_fps))
    fitting = [entry for entry in full if entry.fps and entry.fps >= least_fps]
    for entry in presets:
        entry.networks = next((other.networks for other in full if other.config == entry.config), entry.networks)
    best = fitting[0] if fitting else None
    return Exploration(board, objective, best, full, presets, [*presets, *tried], least_fps, best, dsp_budget)


def _search(board, executor, paths, units, hosted, budget, dsp_budget, journal, seed, progress, key,
            most_lut) -> list[Candidate]:
    """Let Optuna propose configurations for speed and LUTs, in batches."""
    storage = None if journal is None else JournalStorage(JournalFileBackend(str(journal)))
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(24, max(4, budget // 4)))
    # The journal may hold searches for other networks, boards or versions of the compiler.
    name = digest(workload_key(paths), board.name, dsp_budget, seed)
    study = optuna.create_study(storage=storage, sampler=sampler, study_name=name, directions=("maximize", "minimize"),
                                load_if_exists=True)
    known: dict[tuple, Candidate] = {}
    before = [trial.params for trial in study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))]
    _batch(before, known, board, executor, paths, units, hosted, dsp_budget)
    done = len(before)
    while done < budget:
        trials = [study.ask() for _ in range(min(_BATCH, budget - done))]
        choices = [{name: trial.suggest_categorical(name, values) for name, values in CHOICES.items()} for trial in trials]
        for trial, candidate in zip(trials, _batch(choices, known, board, executor, paths, units, hosted, dsp_budget),
                                    strict=True):
            trial.set_constraint("fits", 1.0 if candidate is None or candidate.misfit else -1.0)
            study.tell(trial, _WORST if candidate is None else (candidate.fps, float(candidate.area["lut"])))
        done += len(trials)
        best = max((entry.fps for entry in known.values() if entry is not None), default=0.0)
        progress(0.9 * done / budget, f"{done} of {budget} configurations, best {best:,.1f} inferences a second")
    for limit in (None,) if most_lut is None else (None, most_lut):
        _climb(known, board, executor, paths, hosted, dsp_budget, progress, key, limit)
    return [entry for entry in known.values() if entry is not None]


def _climb(known, board, executor, paths, hosted, dsp_budget, progress, key, most_lut) -> None:
    """Go from the best candidate, of those of at most so many LUTs, to its best neighbour until none is better."""
    def usable() -> list[Candidate]:
        return [entry for entry in known.values() if entry is not None and entry.fps and (
            most_lut is None or entry.area["lut"] <= most_lut)]

    for _ in range(_MOST_CLIMBS):
        best = min(usable(), key=key, default=None)
        if best is None:
            return
        progress(0.88, f"steps from the best, {best.fps:,.1f} inferences a second")
        choices = {tuple(choice_of(config).values()): config for *_, config in neighbours(best.config)}
        fresh = {choice: estimate(config, board, dsp_budget, "search") for choice, config in choices.items()
                 if choice not in known}
        for choice, entry in fresh.items():
            entry.config = replace(entry.config, name=_name(choice))
        _judge(list(fresh.values()), paths, executor, False, hosted)
        known |= fresh
        if min(usable(), key=key) is best:
            return


def _name(key: tuple) -> str:
    """Name of a configuration from its choices."""
    return f"{key[0]}x{key[1]}-" + "-".join(map(str, key[2:]))


def _batch(choices, known, board, executor, paths, units, hosted, dsp_budget) -> list[Candidate | None]:
    """Candidates for choices, None for those that are no configuration; the same choice is judged once."""
    keys = [tuple(choice[name] for name in CHOICES) for choice in choices]
    fresh = []
    for key, choice in zip(keys, choices, strict=True):
        if key in known:
            continue
        try:
            config = build_config(_name(key), choice, **units)
        except ConfigurationError:
            known[key] = None
            continue
        known[key] = estimate(config, board, dsp_budget, "search")
        fresh.append(known[key])
    _judge(fresh, paths, executor, False, hosted)
    return [known[key] for key in keys]
