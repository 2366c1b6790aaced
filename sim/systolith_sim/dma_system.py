"""Design under test of the DMA engines: both engines around an activation buffer, with flat AXI ports."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped
from amaranth.utils import exact_log2

from systolith.activation_buffer import ActivationBuffer
from systolith.axi import (
    AXI_BURST_INCR,
    axi_address_layout,
    axi_read_layout,
    axi_response_layout,
    axi_write_layout,
)
from systolith.axi_read_arbiter import AxiReadArbiter
from systolith.load_engine import LoadEngine
from systolith.ports import ActivationReadPort
from systolith.shapes import MEMORY_WIDTH, command_layout
from systolith.store_engine import StoreEngine

__all__ = ["DmaSystem"]

_CHANNELS = {"ar": Out, "r": In, "aw": Out, "w": Out, "b": In}


class DmaSystem(Component):
    """LOAD engine -> activation buffer -> STORE engine.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    load, store : ``In(stream)``
        Commands.
    load_retire, store_retire, busy : ``Out(1)``
    load_error, store_error : ``Out(1)``
        Error pulses.
    base, limit, abort
        For both engines.
    writable
        For STORE.
    peek : ``In(ActivationReadPort.Signature(config))``
        Third reader of the buffer.
    m_axi_*
        AXI4 manager.
    """

    def __init__(self, *, config):
        self._config = config
        members = {
            "load": In(stream.Signature(command_layout("LOAD"))),
            "store": In(stream.Signature(command_layout("STORE"))),
            "load_retire": Out(1),
            "store_retire": Out(1),
            "load_error": Out(1),
            "store_error": Out(1),
            "busy": Out(1),
            "base": In(MEMORY_WIDTH),
            "limit": In(MEMORY_WIDTH),
            "writable": In(MEMORY_WIDTH),
            "abort": In(1),
            "peek": In(ActivationReadPort.Signature(config)),
        }
        for name, flow in _CHANNELS.items():
            back = In if flow is Out else Out
            members |= {f"m_axi_{name}valid": flow(1), f"m_axi_{name}ready": back(1)}
            members |= {
                f"m_axi_{name}{field}": flow(shape) for field, shape in self._fields(config, name).items()
            }
            if name in ("ar", "aw"):
                members |= {f"m_axi_{name}size": Out(3), f"m_axi_{name}burst": Out(2)}
        super().__init__(members)

    @staticmethod
    def _fields(config, channel):
        layouts = {"r": axi_read_layout(config), "w": axi_write_layout(config), "b": axi_response_layout()}
        return {name: field.shape for name, field in layouts.get(channel, axi_address_layout())}

    @property
    def config(self):
        """Configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.load = load = LoadEngine(config=config)
        m.submodules.store = store = StoreEngine(config=config)
        m.submodules.buffer = buffer = ActivationBuffer(config=config)
        m.submodules.arbiter = arbiter = AxiReadArbiter(config=config)
        connect(m, commands=flipped(self.load), engine=load.command)
        connect(m, commands=flipped(self.store), engine=store.command)
        connect(m, engine=load.activation, buffer=buffer.load_write)
        connect(m, engine=store.activation, buffer=buffer.store_read)
        connect(m, outside=flipped(self.peek), buffer=buffer.compute_read)
        connect(m, engine=load.axi, arbiter=arbiter.load)
        for engine in (load, store):
            m.d.comb += [engine.base.eq(self.base), engine.limit.eq(self.limit), engine.abort.eq(self.abort)]
        m.d.comb += store.writable.eq(self.writable)
        m.d.comb += [
            self.load_retire.eq(load.retire),
            self.store_retire.eq(store.retire),
            self.load_error.eq(load.error.valid),
            self.store_error.eq(store.error.valid),
            self.busy.eq(load.busy | store.busy),
        ]
        for name, flow in _CHANNELS.items():
            inner = getattr(arbiter.bus if name in ("ar", "r") else store.axi, name)
            pairs = [(f"{name}{field}", inner.payload[field]) for field in self._fields(config, name)]
            pairs.append((f"{name}valid", inner.valid))
            for outer, value in pairs:
                port = getattr(self, f"m_axi_{outer}")
                m.d.comb += port.eq(value) if flow is Out else value.eq(port)
            ready = getattr(self, f"m_axi_{name}ready")
            m.d.comb += inner.ready.eq(ready) if flow is Out else ready.eq(inner.ready)
            if name in ("ar", "aw"):
                m.d.comb += [
                    getattr(self, f"m_axi_{name}size").eq(exact_log2(config.axi_bytes)),
                    getattr(self, f"m_axi_{name}burst").eq(AXI_BURST_INCR),
                ]
        return m
