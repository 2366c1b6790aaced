"""Chooses how to cut each layer, by the cycles that the cycle model predicts for it and its neighbours.

Layers are decided one after the other. A trial is a small program: the commands of the layer before, which are
decided, those of the layer with the plan in question, and those of the layer behind it with its usual plan. So
what a plan does to the overlap of neighbours counts, and the time of a trial does not depend on the network.
"""

from collections.abc import Sequence
from dataclasses import replace

from systolith_golden.cycles import predict

from .emitter import Emitter, PlanError
from .layers import HostLayer, Layer, MatrixLayer
from .matrix_plan import MatrixPlan, choices
from .matrix_schedule import MatrixSchedule
from .window_schedule import WindowSchedule

__all__ = ["best_schedule"]

_SHORT = 60            # commands before the layer that a trial has at least, if there are so many
_LARGEST_TRIAL = 1500  # commands; layers beyond keep their usual plan


def _usual(layer: Layer, emitter: Emitter) -> MatrixSchedule | WindowSchedule:
    return MatrixSchedule(layer, emitter) if isinstance(layer, MatrixLayer) else WindowSchedule(layer, emitter)


def best_schedule(layer: Layer, emitter: Emitter, following: Sequence[Layer]) -> MatrixSchedule | WindowSchedule:
    """Schedule of a layer that promises the fewest cycles.

    Parameters
    ----------
    layer : Layer
        On the accelerator; the emitter has begun it.
    emitter : Emitter
    following : sequence of Layer
        The layer behind it, or none.

    Raises
    ------
    PlanError
        No tile is small enough for the space there is.
    """
    usual = _usual(layer, emitter)
    if not isinstance(usual, MatrixSchedule):
        return usual
    return _Search(layer, emitter, following, usual).best()


class _Search:
    """Descent along one coordinate of the plan after the other."""

    def __init__(self, layer: MatrixLayer, emitter: Emitter, following: Sequence[Layer], usual: MatrixSchedule):
        self.layer = layer
        self.emitter = emitter
        self.following = [other for other in following if not isinstance(other, HostLayer)]
        self.usual = usual
        self._first = self._window()
        self._scores: dict[tuple, tuple[int, int]] = {}

    def _window(self) -> int:
        """First command of a trial: that of the layer before, or of an earlier one if they are short."""
        starts = self.emitter.layer_starts
        size = len(self.emitter.program.commands)
        return min([start for start in starts if size - start <= _SHORT] + starts[-2:])

    def best(self) -> MatrixSchedule:
        """Schedule with the best plan found."""
        plan = self.usual.plan
        score = self._score(plan)
        if score[1] > _LARGEST_TRIAL:
            return self.usual
        before = None
        while before != plan:
            before = plan
            for changes in choices(self.emitter.config, self.usual.plan, self.usual.pixels, self.usual.blocks):
                for change in changes:
                    other = replace(plan, **change)
                    result = self._score(other)
                    if result < score:
                        plan, score = other, result
        return MatrixSchedule(self.layer, self.emitter, plan)

    def _score(self, plan: MatrixPlan) -> tuple[int, int]:
        """Predicted cycles and commands of a trial."""
        emitter = self.emitter.trial(self._first)
        try:
            schedule = MatrixSchedule(self.layer, emitter, plan)
            if schedule.shape not in self._scores:
                schedule.emit()
                for layer in self.following:
                    emitter.layer_index += 1
                    _usual(layer, emitter).emit()
                emitter.program.set_memory(emitter.memory.size)
                commands = emitter.program.encode()
                self._scores[schedule.shape] = predict(emitter.config, commands).total, len(commands)
            return self._scores[schedule.shape]
        except PlanError:
            return 1 << 62, 0
