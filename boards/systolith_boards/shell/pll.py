"""Phase-locked loops: the clock of the accelerator from the oscillator of the board."""

from amaranth import *
from amaranth.lib import io
from amaranth.lib.wiring import Component, Out

__all__ = ["Ecp5Pll", "GowinPll", "Ice40Pll", "PLLS"]


class _Pll(Component):
    """Base of the families' PLLs.

    Parameters
    ----------
    pin : io.SingleEndedPort
        Pin of the oscillator.
    input_mhz, output_mhz : float
        See :meth:`find`.
    device : str
        FPGA.

    Members
    -------
    clk : ``Out(1)``
    locked : ``Out(1)``
        Not synchronised.
    """

    _TOLERANCE = 0.05

    def __init__(self, *, pin, input_mhz, output_mhz, device):
        self._pin = pin
        self._input_mhz = input_mhz
        self._device = device
        self._output_mhz, self._setting = self.find(input_mhz, output_mhz)
        super().__init__({"clk": Out(1), "locked": Out(1)})

    @classmethod
    def find(cls, input_mhz, output_mhz):
        """Return the clock in MHz that the PLL can make, and how.

        Parameters
        ----------
        input_mhz : float
            Oscillator.
        output_mhz : float
            Clock that is wanted; the result is the same or less.

        Raises
        ------
        ValueError
            If there is none within 5 %.
        """
        lowest, highest = output_mhz * (1 - cls._TOLERANCE), output_mhz * (1 + 1e-9)
        found = [entry for entry in cls._settings(input_mhz) if lowest <= entry[0] <= highest]
        if not found:
            raise ValueError(f"Clock must be one that the PLL can make of {input_mhz} MHz, not {output_mhz!r} MHz")
        clock_mhz, _, setting = max(found, key=lambda entry: entry[:2])
        return clock_mhz, setting

    @classmethod
    def _settings(cls, input_mhz):
        """Yield ``(output_mhz, preference, setting)`` of everything that the PLL can do; more of both is better."""
        raise NotImplementedError


def _references(input_mhz, most, limits):
    """Yield divider and frequency at the phase detector of all reference dividers."""
    for divider in range(1, most + 1):
        if limits[0] <= input_mhz / divider <= limits[1]:
            yield divider, input_mhz / divider


class Ecp5Pll(_Pll):
    """``EHXPLLL`` of the ECP5, with feedback from its output."""

    _PHASE_DETECTOR_MHZ = (3.125, 400)
    _OSCILLATOR_MHZ = (400, 800)

    @classmethod
    def _settings(cls, input_mhz):
        middle = sum(cls._OSCILLATOR_MHZ) / 2
        for reference, detector_mhz in _references(input_mhz, 128, cls._PHASE_DETECTOR_MHZ):
            for feedback in range(1, 81):
                output_mhz = detector_mhz * feedback
                for divider in range(1, 129):
                    oscillator_mhz = output_mhz * divider
                    if cls._OSCILLATOR_MHZ[0] <= oscillator_mhz <= cls._OSCILLATOR_MHZ[1]:
                        yield output_mhz, (-reference, -abs(oscillator_mhz - middle)), (reference, feedback, divider)

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = buffer = io.Buffer("i", self._pin)
        reference, feedback, divider = self._setting
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=f"{self._input_mhz:.6f}", a_FREQUENCY_PIN_CLKOP=f"{self._output_mhz:.6f}",
            a_ICP_CURRENT="12", a_LPF_RESISTOR="8",
            p_PLLRST_ENA="DISABLED", p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED", p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA", p_OUTDIVIDER_MUXB="DIVB", p_OUTDIVIDER_MUXC="DIVC", p_OUTDIVIDER_MUXD="DIVD",
            p_CLKI_DIV=reference, p_CLKFB_DIV=feedback, p_CLKOP_DIV=divider, p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_CPHASE=divider - 1, p_CLKOP_FPHASE=0, p_FEEDBK_PATH="CLKOP",
            i_RST=Const(0), i_STDBY=Const(0), i_CLKI=buffer.i, i_CLKFB=self.clk, i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0), i_PHASEDIR=Const(1), i_PHASESTEP=Const(1), i_PHASELOADREG=Const(1),
            i_PLLWAKESYNC=Const(0), i_ENCLKOP=Const(0), o_CLKOP=self.clk, o_LOCK=self.locked,
        )  # fmt: skip
        return m


class Ice40Pll(_Pll):
    """``SB_PLL40_PAD`` of the iCE40. The oscillator must be at the pad of the PLL."""

    _PHASE_DETECTOR_MHZ = (10, 133)
    _OSCILLATOR_MHZ = (533, 1066)
    _FILTER_MHZ = (17, 26, 44, 66, 101)  # of the phase detector, from which on the next filter setting applies

    @classmethod
    def _settings(cls, input_mhz):
        for reference, detector_mhz in _references(input_mhz, 16, cls._PHASE_DETECTOR_MHZ):
            for feedback in range(1, 129):
                for shift in range(1, 7):
                    oscillator_mhz = detector_mhz * feedback
                    if cls._OSCILLATOR_MHZ[0] <= oscillator_mhz <= cls._OSCILLATOR_MHZ[1]:
                        yield oscillator_mhz / (1 << shift), (-reference, 0), (reference, feedback, shift)

    def elaborate(self, platform):
        m = Module()
        reference, feedback, shift = self._setting
        detector_mhz = self._input_mhz / reference
        m.submodules.pll = Instance(
            "SB_PLL40_PAD",
            p_FEEDBACK_PATH="SIMPLE", p_DIVR=Const(reference - 1, 4), p_DIVF=Const(feedback - 1, 7), p_DIVQ=Const(shift, 3),
            p_FILTER_RANGE=Const(1 + sum(detector_mhz >= limit for limit in self._FILTER_MHZ), 3),
            i_PACKAGEPIN=self._pin.io, i_RESETB=Const(1), i_BYPASS=Const(0), o_PLLOUTGLOBAL=self.clk, o_LOCK=self.locked,
        )  # fmt: skip
        return m


class GowinPll(_Pll):
    """``rPLL`` of GW1N and GW2A."""

    _PHASE_DETECTOR_MHZ = (3, 400)
    _OSCILLATOR_MHZ = (500, 1200)
    _NAMES = {"GW1NR-LV9": "GW1NR-9C", "GW2A-LV18": "GW2A-18C"}  # of the FPGAs, in the tools' parameter
    _OUTPUT_DIVIDERS = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)

    @classmethod
    def _settings(cls, input_mhz):
        for reference, detector_mhz in _references(input_mhz, 64, cls._PHASE_DETECTOR_MHZ):
            for feedback in range(1, 65):
                for divider in cls._OUTPUT_DIVIDERS:
                    output_mhz = detector_mhz * feedback
                    if cls._OSCILLATOR_MHZ[0] <= output_mhz * divider <= cls._OSCILLATOR_MHZ[1]:
                        yield output_mhz, (-reference, -divider), (reference, feedback, divider)

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = buffer = io.Buffer("i", self._pin)
        reference, feedback, divider = self._setting
        m.submodules.pll = Instance(
            "rPLL",
            p_DEVICE=self._NAMES[self._device], p_FCLKIN=f"{self._input_mhz:g}", p_IDIV_SEL=reference - 1,
            p_FBDIV_SEL=feedback - 1, p_ODIV_SEL=divider,
            p_DYN_IDIV_SEL="false", p_DYN_FBDIV_SEL="false", p_DYN_ODIV_SEL="false",
            p_PSDA_SEL="0000", p_DUTYDA_SEL="1000", p_DYN_DA_EN="false", p_CLKFB_SEL="internal",
            p_CLKOUT_BYPASS="false", p_CLKOUTP_BYPASS="false", p_CLKOUTD_BYPASS="false", p_DYN_SDIV_SEL=2,
            p_CLKOUTD_SRC="CLKOUT", p_CLKOUTD3_SRC="CLKOUT",
            # The inputs for other settings while it runs have no wire: of each that has, nextpnr searches the whole of a
            # GW2A for a clock divider, for minutes.
            i_CLKIN=buffer.i, i_RESET=Const(0), i_RESET_P=Const(0), o_CLKOUT=self.clk, o_LOCK=self.locked,
        )  # fmt: skip
        return m


PLLS = {"ecp5": Ecp5Pll, "ice40": Ice40Pll, "gowin": GowinPll}
"""PLL by family."""
