"""Schedules a softmax layer: for each pixel a PARAMS that fills the lane tables, and a VECTOR that applies them."""

from dataclasses import replace

from systolith_spec.commands import Space

from .emitter import Emitter, Slab
from .layers import Requantization, SoftmaxLayer
from .program import Region
from .window_schedule import Block, WindowPlan, WindowSchedule

__all__ = ["SoftmaxSchedule"]

_TABLE_BYTES = 4 * 256


class SoftmaxSchedule(WindowSchedule):
    """Plan of one :class:`~systolith_compiler.layers.SoftmaxLayer`; tiles hold whole pixels."""

    _DIVISIBLE = (0, 1)

    def __init__(self, layer: SoftmaxLayer, emitter: Emitter, plan: WindowPlan):
        super().__init__(layer, emitter, replace(plan, channels=layer.output.channels))
        self._offset: int | None = None

    def _table(self) -> tuple[int, int]:
        """Memory offset and bytes of the table of exponentials."""
        if self._offset is None:
            self._offset = self.emitter.memory.add(self.layer.exponentials.astype("<u4").tobytes())
        return self._offset, _TABLE_BYTES

    def _window(self, block: Block, slab: Slab, target: Slab, requantization: Requantization) -> None:
        """The commands of all pixels of a tile."""
        emitter, channels = self.emitter, self.layer.output.channels

        for y in range(*block.y):
            for x in range(*block.x):
                table = emitter.load_constant(
                    Space.PARAMETER, emitter.parameters, (emitter.layer_index, "exponentials"), self._table)
                values, destination = slab.locate(y, x), target.locate(y, x)
                row = Region("activation", values, values + channels)
                bank = emitter.tables(
                    (emitter.layer_index, y, x), softmax=1, channels=channels, bias_base=table // 4, values=values,
                    reads=(row, Region("parameter", table, table + _TABLE_BYTES)))
                # Every lane lies outside a slab without rows: the bias alone is requantised.
                emitter.append(
                    "VECTOR", source=1, bank=bank, rounding=requantization.rounding, y_count=1, x_count=1, ky_count=1,
                    kx_count=1, zero_out=requantization.zero_out, minimum=requantization.minimum,
                    maximum=requantization.maximum, channels=channels, destination=destination,
                    reads=(row,), writes=(Region("activation", destination, destination + channels),))
