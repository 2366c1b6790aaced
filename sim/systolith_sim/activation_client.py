"""Clients of the activation buffer in benches: they give an address, the claim follows."""

from amaranth.hdl import Module, Mux

from systolith.activation_buffer import ActivationBuffer
from systolith.ports import activation_claim

__all__ = ["ClaimingActivationBuffer", "connect_client", "drive_claim"]


def drive_claim(m, config, port, request):
    """Let the claim of a port of the buffer follow the address and valid of ``request``, which may be the port itself."""
    m.d.comb += port.claim.eq(Mux(request.valid, activation_claim(config, request.addr), 0))


class ClaimingActivationBuffer(ActivationBuffer):
    """An activation buffer by itself, whose claims follow the addresses."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = super().elaborate(platform)
        for port in (self.store_read, self.vector_read, self.compute_read, self.vector_write, self.load_write):
            drive_claim(m, self.config, port, port)
        return m


def connect_client(m, config, port, outside):
    """Connect a port of the buffer to a port of the bench, whose own claim is not looked at.

    Parameters
    ----------
    m : Module
    config : AcceleratorConfig
    port : ActivationReadPort or ActivationWritePort
        Of the buffer.
    outside : ActivationReadPort or ActivationWritePort
        Of the bench, inward as that of the buffer.
    """
    drive_claim(m, config, port, outside)
    for name in outside.signature.members:
        if name in ("ready", "data_valid") or (name == "data" and hasattr(port, "data_valid")):
            m.d.comb += getattr(outside, name).eq(getattr(port, name))
        elif name != "claim":
            m.d.comb += getattr(port, name).eq(getattr(outside, name))
