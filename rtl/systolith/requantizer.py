"""From 32-bit sums to int8: bias, per-channel multiplier and shift, zero point, clamp."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from systolith.delay import delay
from systolith.requantizer_lane import RequantizerLane
from systolith_spec.commands import Rounding

__all__ = ["Requantizer"]


class Requantizer(Component):
    """Requantize one 32-bit sum per lane and cycle, bit for bit as TensorFlow Lite Micro does.

    With ``x`` the sum plus bias (minus bias if ``bias_follows_sign`` and the sum is negative) modulo 2**32,
    ``q`` the multiplier, ``e`` the exponent, ``l = max(e, 0)`` and ``r = max(-e, 0)``, the rules are

    DOUBLE
        ``h = (x * 2**l * q + n) / 2**31`` toward zero, ``n = 2**30``, or ``1 - 2**30`` for a negative
        product; then ``h / 2**r`` to nearest, ties away from zero. ``x * 2**l`` wraps at 32 bits, as C does
        in practice; no network comes near.
    SINGLE
        ``(x * q + 2**(30 - e)) >> (31 - e)``. A left shift that overflows saturates, so that the clamped
        result is exact for every multiplier that is zero or at least 2**30.
    TRUNCATE
        ``x * q / 2**(31 - e)`` toward zero, ``e <= 0``: the division of average pooling, with
        ``q = ceil(2**31 / n)``.

    The result is clamped to [minimum, maximum] after ``zero_out`` is added, without overflow.

    Free-running: no back-pressure; ``valid`` travels along. Resources of a lane: four multipliers.

    Parameters
    ----------
    lanes : int
        Values per cycle, at least 1.
    multiplier_style : str
        Style of the multipliers, see :func:`~systolith.multiplier.multiplier`.

    Members
    -------
    valid : ``In(1)``
    rounding, bias_follows_sign : ``In(2)``, ``In(1)``
        Rule and sign of the bias for all lanes.
    zero_out : ``In(signed(8))``
        For all lanes, ``zero_cycle`` cycles after ``sums``.
    minimum, maximum : ``In(signed(8))``
        For all lanes, ``clamp_cycle`` cycles after ``sums``.
    sums, biases : ``In(ArrayLayout(signed(32), lanes))``
    multipliers : ``In(ArrayLayout(31, lanes))``
        0, or 2**30 to 2**31 - 1; with TRUNCATE any value.
    exponents : ``In(ArrayLayout(signed(7), lanes))``
        -31 to 30.
    results_valid : ``Out(1)``
        ``valid`` of ``latency`` cycles before.
    results : ``Out(ArrayLayout(signed(8), lanes))``

    Raises
    ------
    ValueError
        If there is no lane.
    """

    latency = RequantizerLane.latency
    """Clock cycles from ``sums`` to ``results``."""
    zero_cycle = RequantizerLane.zero_cycle
    """Clock cycles from ``sums`` to ``zero_out``."""
    clamp_cycle = RequantizerLane.clamp_cycle
    """Clock cycles from ``sums`` to ``minimum`` and ``maximum``."""

    def __init__(self, *, lanes, multiplier_style="generic"):
        if lanes < 1:
            raise ValueError(f"Requantizer lanes must be at least 1, not {lanes!r}")
        self._lanes = lanes
        self._multiplier_style = multiplier_style
        super().__init__(
            {
                "valid": In(1),
                "rounding": In(2),
                "bias_follows_sign": In(1),
                "zero_out": In(signed(8)),
                "minimum": In(signed(8)),
                "maximum": In(signed(8)),
                "sums": In(data.ArrayLayout(signed(32), lanes)),
                "biases": In(data.ArrayLayout(signed(32), lanes)),
                "multipliers": In(data.ArrayLayout(31, lanes)),
                "exponents": In(data.ArrayLayout(signed(7), lanes)),
                "results_valid": Out(1),
                "results": Out(data.ArrayLayout(signed(8), lanes)),
            }
        )

    @property
    def lanes(self):
        """Values per cycle."""
        return self._lanes

    def elaborate(self, platform):
        m = Module()
        rounding = delay(m, self.rounding, RequantizerLane.rounding_cycle, name="rounding")
        saturate = delay(m, self.rounding == Rounding.SINGLE, RequantizerLane.saturate_cycle, name="saturate")
        for index in range(self.lanes):
            m.submodules[f"lane_{index}"] = lane = RequantizerLane(multiplier_style=self._multiplier_style)
            m.d.comb += [
                lane.sum.eq(self.sums[index]),
                lane.bias.eq(self.biases[index]),
                lane.multiplier.eq(self.multipliers[index]),
                lane.exponent.eq(self.exponents[index]),
                lane.bias_follows_sign.eq(self.bias_follows_sign),
                lane.saturate.eq(saturate),
                lane.rounding.eq(rounding),
                lane.zero_out.eq(self.zero_out),
                lane.minimum.eq(self.minimum),
                lane.maximum.eq(self.maximum),
                self.results[index].eq(lane.result),
            ]
        m.d.comb += self.results_valid.eq(delay(m, self.valid, self.latency, name="valid", reset_less=False))
        return m
