"""Error record of a DMA engine."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from systolith.ports import DmaError
from systolith.shapes import MEMORY_WIDTH

__all__ = ["DmaErrors"]


class DmaErrors(Component):
    """Report responses that are errors, each, and a run out of range, once until the abort that follows.

    The record is rewritten every cycle: it counts with ``valid`` only, and so needs no enable.

    Parameters
    ----------
    response_code, range_code : ErrorCode
        Codes of the two kinds of error.

    Members
    -------
    response_valid : ``In(1)``
        A response is present.
    expected : ``In(1)``
        And it belongs to a burst; ignored otherwise.
    response : ``In(2)``
        AXI response; SLVERR and DECERR have bit 1 set.
    burst_address : ``In(32)``
        Address to report with it.
    out_of_range : ``In(1)``
        The engine stands before a run outside its limit.
    run_address : ``In(32)``
        Address to report with it.
    abort : ``In(1)``
        Level: report nothing; errors after it are new ones.
    error : ``Out(DmaError)``
        One cycle later.
    """

    def __init__(self, *, response_code, range_code):
        self._response_code = response_code
        self._range_code = range_code
        super().__init__(
            {
                "response_valid": In(1),
                "expected": In(1),
                "response": In(2),
                "burst_address": In(MEMORY_WIDTH),
                "out_of_range": In(1),
                "run_address": In(MEMORY_WIDTH),
                "abort": In(1),
                "error": Out(DmaError),
            }
        )

    def elaborate(self, platform):
        m = Module()
        reported = Signal()
        failed = self.response_valid & self.response[1]
        out_of_range = self.out_of_range & ~reported & ~failed
        m.d.sync += [
            self.error.valid.eq(((failed & self.expected) | out_of_range) & ~self.abort),
            self.error.code.eq(Mux(failed, self._response_code, self._range_code)),
            self.error.address.eq(Mux(failed, self.burst_address, self.run_address)),
            self.error.response.eq(Mux(failed, self.response, 0)),
            reported.eq((reported | out_of_range) & ~self.abort),
        ]
        return m
