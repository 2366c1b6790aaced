"""Which input of a LUT each wire leads to."""

import numpy as np

from systolith_boards.placement.packed_design import COMB, PackedDesign
from systolith_boards.placement.timing_model import LUT_PINS, TimingModel

__all__ = ["LutPins"]

_FASTEST_FIRST = sorted(LUT_PINS, key=LUT_PINS.get)


class LutPins:
    """Inputs of the LUTs of a design, which may be exchanged when the table of the LUT is changed with them.

    All inputs of a LUT take the same time to its output, but the switches of a tile bring a wire to D sooner than to A or B.
    yosys orders the inputs by levels of logic; here they are ordered by what is known of the wires.

    LUTs of carry chains and of distributed RAM are left alone.

    Parameters
    ----------
    design : PackedDesign
    model : TimingModel
        Of the design; its delays follow the inputs.
    """

    def __init__(self, design: PackedDesign, model: TimingModel):
        self._design, self._model = design, model
        self._luts = [cell for cell, kind in enumerate(design.types)
                      if kind == COMB and design.parameter(cell, "MODE") in ("", "LOGIC")]
        # Wires by LUT and pin (A to D); those of pins without a wire are one more than there are.
        self._nothing = len(model.drivers)
        self._wires = np.array([[model.wire.get((cell, pin), self._nothing) for pin in LUT_PINS] for cell in self._luts],
                               dtype=np.int64).reshape(-1, len(LUT_PINS))
        # For each of the fastest inputs, the input whose wire it gets: first its own.
        self._order = np.tile([list(LUT_PINS).index(pin) for pin in _FASTEST_FIRST], (len(self._luts), 1))
        self._delays = model.scale * np.array([LUT_PINS[pin] for pin in _FASTEST_FIRST])

    def assign(self, slack: np.ndarray) -> None:
        """Give the wire with the least time the fastest input of each LUT, and so on.

        Parameters
        ----------
        slack : ndarray of float, shape (wires,)
            As from :meth:`TimingModel.analyse`, ps.
        """
        # What there would be with a pin that takes no time of its own.
        spare = np.append(slack + self._model.pins, np.inf)[self._wires]
        order = np.argsort(spare, axis=1, kind="stable")
        pins = np.append(self._model.pins, 0.0)
        pins[np.take_along_axis(self._wires, order, axis=1)] = self._delays
        self._model.base += pins[:-1] - self._model.pins
        self._model.pins = pins[:-1]
        self._order = order

    def write(self) -> None:
        """Put the last assignment, if there was one, into the design. The model is not of use afterwards."""
        names = list(LUT_PINS)
        for cell, order in zip(self._luts, self._order.tolist()):
            self._design.exchange_pins(cell, {new: names[old] for new, old in zip(_FASTEST_FIRST, order)})
