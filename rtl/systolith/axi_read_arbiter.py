"""One AXI read port for two readers."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from systolith.axi import AXI_ID_FETCH, AXI_ID_LOAD, axi_address_layout, axi_read_signature
from systolith.stream_buffer import StreamBuffer

__all__ = ["AxiReadArbiter"]


class AxiReadArbiter(Component):
    """Merge the requests of two readers and route the read data by id.

    Requests of the command fetcher go first: they are few and an engine without commands stands still.
    Requests leave through a two-deep buffer, so a request once visible on the bus stays.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    load, fetch : ``In(axi_read_signature(config))``
        Readers; their requests get id 0 and 1.
    bus : ``Out(axi_read_signature(config))``
        The shared read channels.
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__(
            {
                "load": In(axi_read_signature(config)),
                "fetch": In(axi_read_signature(config)),
                "bus": Out(axi_read_signature(config)),
            }
        )

    @property
    def config(self):
        """Configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        m.submodules.request = request = StreamBuffer(shape=axi_address_layout())
        connect(m, request=request.o, ar=flipped(self.bus.ar))
        with m.If(self.fetch.ar.valid):
            m.d.comb += [request.i.payload.eq(self.fetch.ar.payload), request.i.payload.id.eq(AXI_ID_FETCH)]
        with m.Else():
            m.d.comb += [request.i.payload.eq(self.load.ar.payload), request.i.payload.id.eq(AXI_ID_LOAD)]
        is_fetch = self.bus.r.payload.id == AXI_ID_FETCH
        m.d.comb += [
            request.i.valid.eq(self.fetch.ar.valid | self.load.ar.valid),
            self.fetch.ar.ready.eq(request.i.ready),
            self.load.ar.ready.eq(request.i.ready & ~self.fetch.ar.valid),
            self.fetch.r.payload.eq(self.bus.r.payload),
            self.load.r.payload.eq(self.bus.r.payload),
            self.fetch.r.valid.eq(self.bus.r.valid & is_fetch),
            self.load.r.valid.eq(self.bus.r.valid & ~is_fetch),
            self.bus.r.ready.eq(Mux(is_fetch, self.fetch.r.ready, self.load.r.ready)),
        ]
        return m
