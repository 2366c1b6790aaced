"""Decides which storages stay in the activation buffer and where everything lies in main memory."""

from dataclasses import dataclass, field

from systolith_spec.config import AcceleratorConfig

from .layers import HostLayer, MatrixLayer, Storage
from .lowering import Lowered

__all__ = ["Area", "Placement", "candidates", "lifetimes"]


@dataclass(frozen=True)
class Area:
    """A run of the activation buffer within one bank."""

    start: int
    size: int


@dataclass(eq=False)
class Placement:
    """Where storages are.

    Attributes
    ----------
    resident : dict of Storage to int
        Buffer address of storages that stay in the activation buffer.
    slabs, results : Area or None
        Staging for tiles of storages that live in main memory: inputs and outputs.
    """

    resident: dict[Storage, int] = field(default_factory=dict)
    slabs: Area | None = None
    results: Area | None = None


def lifetimes(lowered: Lowered) -> dict[Storage, tuple[int, int]]:
    """First and last layer on the accelerator that touches each storage."""
    spans: dict[Storage, tuple[int, int]] = {}
    for index, layer in enumerate(lowered.layers):
        if isinstance(layer, HostLayer):
            continue
        for view in (*layer.sources, layer.output):
            first, _ = spans.get(view.storage, (index, index))
            spans[view.storage] = (first, index)
    return spans


class _Bank:
    """First-fit allocation within one bank."""

    def __init__(self, start: int, size: int):
        self.start, self.size = start, size
        self.used: list[tuple[int, int, int]] = []  # (start, stop, last layer)

    def allocate(self, size: int, layer: int, last: int) -> int | None:
        """Lowest free address for `size` bytes from `layer` to `last`, or None."""
        self.used = sorted(entry for entry in self.used if entry[2] >= layer)
        position = self.start
        for start, stop, _ in self.used:
            if start - position >= size:
                break
            position = max(position, stop)
        if position + size > self.start + self.size:
            return None
        self.used.append((position, position + size, last))
        return position


def _allocate_across(banks: list[_Bank], size: int, layer: int, last: int) -> int | None:
    """Lowest free address for what no bank has room for, over the borders of the banks; None if they are not adjacent."""
    if any(bank.start + bank.size != other.start for bank, other in zip(banks, banks[1:], strict=False)):
        return None
    whole = _Bank(banks[0].start, sum(bank.size for bank in banks))
    whole.used = [entry for bank in banks for entry in bank.used]
    address = whole.allocate(size, layer, last)
    if address is not None:
        for bank in banks:
            start, stop = max(address, bank.start), min(address + size, bank.start + bank.size)
            if start < stop:
                bank.used.append((start, stop, last))
    return address


def candidates(lowered: Lowered, config: AcceleratorConfig):
    """Placements to try, from everything on chip to everything in main memory.

    Yields
    ------
    Placement
        With growing staging areas; the scheduler takes the first that lets every layer be tiled.
    """
    bank = config.activation_bytes // config.activation_banks
    bounds = [(index * bank, bank) for index in range(config.activation_banks)]
    for eighths in (0, 2, 4, 6, 8):
        placement = Placement()
        banks = []
        for index, (start, size) in enumerate(bounds):
            reserve = size * eighths // 8 // 16 * 16
            if len(bounds) == 1 and reserve:
                half = reserve // 2 // 16 * 16
                placement.slabs = Area(start + size - 2 * half, half)
                placement.results = Area(start + size - half, half)
            elif reserve and index == 0:
                placement.slabs = Area(start + size - reserve, reserve)
            elif reserve and index == 1:
                placement.results = Area(start + size - reserve, reserve)
            elif reserve:
                reserve = 0
            banks.append(_Bank(start, size - reserve))
        complete = _fill(lowered, banks, placement)
        if complete or eighths:
            yield placement
        if complete:
            return


def _fill(lowered: Lowered, banks: list[_Bank], placement: Placement) -> bool:
    """Give every storage that fits an address, in order of first use; True when all fit."""
    complete = True
    for storage, (first, last) in lifetimes(lowered).items():
        layer = lowered.layers[first]
        avoid = {_bank_of(placement.resident[view.storage], banks) for view in (*layer.sources, layer.output)
                 if view.storage in placement.resident}
        size = -(-storage.size // 16) * 16
        rivals = _rivals(lowered, storage)
        taken = [_bank_of(placement.resident[other], banks) for other in rivals if other in placement.resident]
        for choice in sorted(range(len(banks)), key=lambda bank: (taken.count(bank), bank in avoid, bank)):  # noqa: B023
            address = banks[choice].allocate(size, first, last)
            if address is not None:
                placement.resident[storage] = address
                break
        else:
            address = _allocate_across(banks, size, first, last)
            if address is None:
                complete = False
            else:
                placement.resident[storage] = address
    return complete


def _rivals(lowered: Lowered, storage: Storage) -> list[Storage]:
    """Storages that an engine reads while another one reads this: input of a product, operands of its fused addition."""
    rivals = []
    for layer in lowered.layers:
        if isinstance(layer, MatrixLayer) and layer.residual_source is not None:
            operands = [layer.output.storage, layer.residual_source.storage]
            if storage in operands:
                rivals.append(layer.source.storage)
            if storage is layer.source.storage:
                rivals += operands
    return rivals


def _bank_of(address: int, banks: list[_Bank]) -> int:
    return next(index for index, bank in enumerate(banks) if bank.start <= address < bank.start + bank.size)
