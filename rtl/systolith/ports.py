"""Ports of the on-chip buffers, seen from the block that uses a buffer, and the error record of the DMA."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from systolith.shapes import ADDRESS_WIDTH, MEMORY_WIDTH
from systolith_spec.timing import WEIGHT_ROWS

__all__ = [
    "ActivationReadPort",
    "ActivationWritePort",
    "DmaError",
    "ParameterReadPort",
    "ParameterWritePort",
    "WeightReadPort",
    "WeightWritePort",
    "activation_claim",
]


class _Signature(wiring.Signature):
    def __eq__(self, other):
        return type(self) is type(other) and self.members == other.members


class _Port(wiring.PureInterface):
    """Interface object with a signature made from a configuration."""


def activation_claim(config, addr):
    """Banks of the activation buffer that an access claims: bit k for bank k.

    That of its address and, in the last sixteenth of a bank (or its last word), the next: it may run over the end. Clients
    find it a cycle early and keep it in a register, so that grants do not wait for it.

    Parameters
    ----------
    config : AcceleratorConfig
    addr : Value
        Byte address.
    """
    banks = config.activation_banks
    if banks == 1:
        return Const(1, 1)
    addr = Value.cast(addr)[exact_log2(config.activation_word):exact_log2(config.activation_bytes)]
    word, bank = addr[:-exact_log2(banks)], addr[-exact_log2(banks):]
    home = (Const(1, banks) << bank)[:banks]
    return home | Mux(word[-4:].all(), home.rotate_left(1), 0)


class ActivationReadPort(_Port):
    """Unaligned read of ``config.activation_word`` bytes.

    A request is accepted in a cycle with ``valid & ready``; ``data_valid`` and ``data`` follow exactly
    ``ActivationBuffer.read_latency`` cycles later, in order. ``addr`` must not change while a request waits.
    Responses cannot be refused.

    Members
    -------
    addr : ``Out(24)``
        Byte address of lane 0, any alignment; truncated to the size of the buffer.
    claim : ``Out(activation_banks)``
        :func:`activation_claim` of the address, from a register; while ``valid`` is low it keeps other clients waiting too.
    valid, ready : ``Out(1)``, ``In(1)``
        Request handshake. ``ready`` depends on the requests of clients with higher priority.
    data_valid : ``In(1)``
        A response is present.
    data : ``In(8 * activation_word)``
        Bits 8i+7..8i are the byte at ``addr + i`` (modulo the size of the buffer).
    """

    class Signature(_Signature):
        """Signature for one configuration."""

        def __init__(self, config):
            super().__init__(
                {
                    "addr": Out(ADDRESS_WIDTH),
                    "claim": Out(config.activation_banks),
                    "valid": Out(1),
                    "ready": In(1),
                    "data_valid": In(1),
                    "data": In(8 * config.activation_word),
                }
            )

        def create(self, *, path=None, src_loc_at=0):
            return ActivationReadPort(self, path=path, src_loc_at=1 + src_loc_at)


class ActivationWritePort(_Port):
    """Unaligned write of up to ``config.activation_word`` bytes.

    A write is accepted in a cycle with ``valid & ready``. Reads accepted in later cycles see it.

    Members
    -------
    addr : ``Out(24)``
        Byte address of lane 0, any alignment; truncated to the size of the buffer.
    claim : ``Out(activation_banks)``
        :func:`activation_claim` of the address, from a register; while ``valid`` is low it keeps other clients waiting too.
    valid, ready : ``Out(1)``, ``In(1)``
        Request handshake; address, data and mask must not change while a request waits.
    data : ``Out(8 * activation_word)``
        Bits 8i+7..8i go to the byte at ``addr + i`` (modulo the size of the buffer).
    mask : ``Out(activation_word)``
        Bit i: lane i is written.
    """

    class Signature(_Signature):
        """Signature for one configuration."""

        def __init__(self, config):
            super().__init__(
                {
                    "addr": Out(ADDRESS_WIDTH),
                    "claim": Out(config.activation_banks),
                    "valid": Out(1),
                    "ready": In(1),
                    "data": Out(8 * config.activation_word),
                    "mask": Out(config.activation_word),
                }
            )

        def create(self, *, path=None, src_loc_at=0):
            return ActivationWritePort(self, path=path, src_loc_at=1 + src_loc_at)


class WeightReadPort(_Port):
    """Read of two tile rows of ``config.cols`` bytes, never refused.

    Members
    -------
    addr : ``Out(24)``
        Byte address, a multiple of ``config.weight_alignment``; truncated to the size of the buffer.
    en : ``Out(1)``
        Read this cycle.
    data : ``In(2 * 8 * cols)``
        The rows, ``WeightBuffer.read_latency`` cycles after ``en``; byte i is bits 8i+7..8i.
    """

    class Signature(_Signature):
        """Signature for one configuration."""

        def __init__(self, config):
            super().__init__(
                {
                    "addr": Out(ADDRESS_WIDTH),
                    "en": Out(1),
                    "data": In(8 * WEIGHT_ROWS * config.cols),
                }
            )

        def create(self, *, path=None, src_loc_at=0):
            return WeightReadPort(self, path=path, src_loc_at=1 + src_loc_at)


class _BeatWriteSignature(_Signature):
    def __init__(self, config):
        super().__init__(
            {
                "addr": Out(ADDRESS_WIDTH),
                "en": Out(1),
                "data": Out(config.axi_data_width),
            }
        )


class WeightWritePort(_Port):
    """Write of one AXI beat into the weight buffer, never refused. Reads of later cycles see it.

    Members
    -------
    addr : ``Out(24)``
        Byte address, a multiple of ``config.axi_bytes``; truncated to the size of the buffer.
    en : ``Out(1)``
        Write this cycle.
    data : ``Out(axi_data_width)``
        The beat; byte i is bits 8i+7..8i.
    """

    class Signature(_BeatWriteSignature):
        """Signature for one configuration."""

        def create(self, *, path=None, src_loc_at=0):
            return WeightWritePort(self, path=path, src_loc_at=1 + src_loc_at)


class ParameterWritePort(_Port):
    """Write of one AXI beat into the parameter buffer; members as :class:`WeightWritePort`."""

    class Signature(_BeatWriteSignature):
        """Signature for one configuration."""

        def create(self, *, path=None, src_loc_at=0):
            return ParameterWritePort(self, path=path, src_loc_at=1 + src_loc_at)


class ParameterReadPort(_Port):
    """Read of a pair of 32-bit words of the parameter buffer, never refused.

    Members
    -------
    addr : ``Out(16)``
        Address in 32-bit words; bit 0 is ignored.
    en : ``Out(1)``
        Read this cycle.
    data : ``In(64)``
        Words ``addr & ~1`` (low half) and ``addr | 1``, ``ParameterBuffer.read_latency`` cycles after ``en``.
    """

    class Signature(_Signature):
        """Signature for one configuration."""

        def __init__(self, config):
            super().__init__({"addr": Out(16), "en": Out(1), "data": In(64)})

        def create(self, *, path=None, src_loc_at=0):
            return ParameterReadPort(self, path=path, src_loc_at=1 + src_loc_at)


class DmaError(data.Struct):
    """Error report of a DMA engine: the other members count in cycles with ``valid`` (a pulse).

    ``code`` is an ``ErrorCode``; ``address`` is the memory address of the burst (response errors) or of the
    run (out of range); ``response`` is the AXI response (0 for out of range). After an out-of-range error the
    engine stays busy until it is aborted; after a response error it goes on.
    """

    valid: 1
    code: 8
    address: MEMORY_WIDTH
    response: 2
