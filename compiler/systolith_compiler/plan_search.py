"""Chooses how to cut each layer, by the cycles that the cycle model predicts for it and its neighbours.

Layers are decided one after the other. A trial is a small program: the commands of the layer before, which are
decided, those of the layer with the plan in question, and those of the layer behind it with its usual plan. So
what a plan does to the overlap of neighbours counts, and the time of a trial does not depend on the network.

For short programs the compiler then tries the best alternatives of each layer, and refinements of those that only load
weights, in the whole program.
"""

from collections.abc import Sequence
from dataclasses import replace

from systolith_golden.cycles import predict
from systolith_spec.commands import FieldError

from .depthwise_schedule import DepthwisePlan, DepthwiseSchedule, schedule_matrix
from .emitter import Emitter, PlanError
from .layers import HostLayer, Layer, MatrixLayer, SoftmaxLayer
from .matrix_plan import MatrixPlan, choices
from .matrix_schedule import MatrixSchedule
from .softmax_schedule import SoftmaxSchedule
from .window_schedule import WindowPlan, WindowSchedule

__all__ = ["Plan", "best_plans", "schedule_layer"]

_SHORT = 60            # commands before the layer that a trial has at least, if there are so many
_BEST = 3              # plans that are tried in the whole program
_LARGEST_TRIAL = 1500  # commands; layers beyond keep their usual plan


Plan = MatrixPlan | DepthwisePlan | WindowPlan


def schedule_layer(layer: Layer, emitter: Emitter, plan: Plan | None = None) -> MatrixSchedule | WindowSchedule:
    """Schedule of a layer with a plan, or with the plan that suits most layers."""
    if isinstance(layer, MatrixLayer):
        return schedule_matrix(layer, emitter, plan)
    schedule = SoftmaxSchedule if isinstance(layer, SoftmaxLayer) else WindowSchedule
    return schedule(layer, emitter, plan or WindowPlan())


def best_plans(layer: Layer, emitter: Emitter, following: Sequence[Layer]) -> list[Plan]:
    """Plans for a layer, that with the fewest predicted cycles first, then a few others.

    Parameters
    ----------
    layer : Layer
        On the accelerator; the emitter has begun it.
    emitter : Emitter
    following : sequence of Layer
        The layers behind it; a few are enough.

    Raises
    ------
    PlanError
        No tile is small enough for the space there is.
    """
    return _Search(layer, emitter, following).best()


class _Search:
    """Comparison of the plans of one layer."""

    def __init__(self, layer: Layer, emitter: Emitter, following: Sequence[Layer]):
        self.layer = layer
        self.emitter = emitter
        self.following = self._neighbours(following)
        self.usual = schedule_layer(layer, emitter)
        self._first = self._window()
        self._scores: dict[tuple, tuple[int, int]] = {}
        self._plans: dict[tuple, Plan] = {}

    @staticmethod
    def _neighbours(following: Sequence[Layer]) -> list[Layer]:
        """Layers behind that count: on the accelerator, up to the first of the array."""
        neighbours: list[Layer] = []
        for layer in following:
            if isinstance(layer, HostLayer):
                break
            neighbours.append(layer)
            if isinstance(layer, MatrixLayer):
                break
        return neighbours

    def best(self) -> list[Plan]:
        """The best plans found, best first."""
        plan = self.usual.plan
        if self._score(plan)[1] > _LARGEST_TRIAL:
            return [plan]
        if isinstance(plan, MatrixPlan):
            self._descend(plan)
        elif isinstance(self.usual, DepthwiseSchedule):
            min(self.usual.alternatives(), key=self._score)
        else:
            min(plan.alternatives(self.emitter.config.vector_lanes), key=self._score)
        ranking = sorted(self._scores, key=self._scores.__getitem__)[:_BEST]
        # None has a score when a layer behind cannot be cut: that is for the layer behind to say.
        return [self._plans[shape] for shape in ranking] or [plan]

    def _descend(self, plan: MatrixPlan) -> None:
        """Improve one coordinate after the other until none gets better."""
        score, before = self._score(plan), None
        while before != plan:
            before = plan
            for changes in choices(self.emitter.config, self.usual.plan, self.usual.pixels, self.usual.blocks,
                                   loads=self.usual.loads, stores=self.usual.stores):
                for change in changes:
                    other = replace(plan, **change)
                    result = self._score(other)
                    if result < score:
                        plan, score = other, result

    def _window(self) -> int:
        """First command of a trial: that of the layer before, or of an earlier one if they are short."""
        starts = self.emitter.layer_starts
        size = len(self.emitter.program.commands)
        return min([start for start in starts if size - start <= _SHORT] + starts[-2:])

    def _score(self, plan: Plan) -> tuple[int, int]:
        """Predicted cycles and commands of the best trial with a plan."""
        try:
            shape = schedule_layer(self.layer, self.emitter, plan).shape
            if shape not in self._scores:
                self._plans[shape] = plan
                self._scores[shape] = min(self._trial(plan, behind) for behind in self._plans_behind())
            return self._scores[shape]
        except (PlanError, FieldError):
            return 1 << 62, 0

    def _plans_behind(self) -> list[WindowPlan | None]:
        """Plans of the layer behind to count with; None is its usual one."""
        if not self.following or isinstance(self.following[0], MatrixLayer):
            return [None]
        output = self.following[0].output
        lanes = self.emitter.config.vector_lanes
        return [None, WindowPlan(channels=lanes if output.height * output.width == 1 else 1 << 24, early=True)]

    def _trial(self, plan: Plan, behind: WindowPlan | None) -> tuple[int, int]:
        emitter = self.emitter.trial(self._first)
        schedule_layer(self.layer, emitter, plan).emit()
        for layer in self.following:
            emitter.layer_index += 1
            schedule_layer(layer, emitter, None if isinstance(layer, MatrixLayer) else behind).emit()
        commands = emitter.program.encode()
        return predict(emitter.config, commands).total, len(commands)
