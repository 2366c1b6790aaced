"""LiteX wrapper: an accelerator written by `systolith verilog --out FOLDER` as a module of a SoC.

    soc.submodules.systolith = Systolith(FOLDER)
    soc.systolith.attach(soc, origin=0x9000_0000)
"""

import json
from pathlib import Path

from litex.gen import LiteXModule
from litex.soc.integration.soc import SoCRegion
from litex.soc.interconnect import axi
from litex.soc.interconnect.csr_eventmanager import EventManager, EventSourceLevel
from migen import ClockSignal, Instance, ResetSignal

__all__ = ["Systolith"]

_PAGE = 0x1000


class Systolith(LiteXModule):
    """The accelerator with its two buses and its interrupt.

    Parameters
    ----------
    folder : path
        Where ``systolith.v`` and ``manifest.json`` are.

    Attributes
    ----------
    memory : axi.AXIInterface
        Manager: main memory.
    registers : axi.AXILiteInterface
        Subordinate: a page of 4 KiB.
    ev : EventManager
        Interrupt ``done``, level; cleared at the accelerator.
    """

    def __init__(self, folder):
        self._folder = Path(folder)
        manifest = json.loads((self._folder / "manifest.json").read_text())
        width = manifest["parameters"]["axi_data_width"]
        self.memory = axi.AXIInterface(data_width=width, address_width=32, id_width=1)
        self.registers = axi.AXILiteInterface(data_width=32, address_width=32)
        self.ev = EventManager()
        self.ev.done = EventSourceLevel()
        self.ev.finalize()
        pins = {"i_clk": ClockSignal("sys"), "i_rst": ResetSignal("sys"), "o_irq": self.ev.done.trigger}
        for port in manifest["ports"]:
            bus, _, name = port["name"].rpartition("_")
            if bus in ("m_axi", "s_axil"):
                pins[f"{port['direction'][0]}_{port['name']}"] = self._signal(bus, name, port["width"])
        self.specials += Instance(manifest["top"], **pins)

    def _signal(self, bus, name, width):
        """Signal of an interface for a port such as ``awaddr``: channel and name follow each other."""
        interface = self.memory if bus == "m_axi" else self.registers
        channel = next(key for key in ("aw", "ar", "w", "b", "r") if name.startswith(key))
        signal = getattr(getattr(interface, channel), name.removeprefix(channel))
        return signal[:width] if len(signal) > width else signal

    def attach(self, soc, origin, name="systolith"):
        """Add buses, interrupt and Verilog to a SoC.

        Parameters
        ----------
        soc : SoC
        origin : int
            Byte address of the registers, a multiple of 4096.
        name : str
            Name of the module in the SoC, as which it must be a submodule.
        """
        soc.platform.add_source(str(self._folder / "systolith.v"))
        soc.bus.add_master(name, self.memory)
        soc.bus.add_slave(name, self.registers, SoCRegion(origin=origin, size=_PAGE, cached=False))
        if soc.irq.enabled:
            soc.irq.add(name, use_loc_if_exists=True)
