"""Widths of addresses and coordinates: as wide as the buffers of a configuration need, no wider."""

from systolith_spec.config import AcceleratorConfig

__all__ = ["buffer_address_width", "byte_coordinate_width", "largest_row_bytes", "row_bytes_width"]


def buffer_address_width(config: AcceleratorConfig) -> int:
    """Bits of a byte address in any of the buffers."""
    return (max(config.activation_bytes, config.weight_bytes, config.parameter_bytes) - 1).bit_length()


def byte_coordinate_width(config: AcceleratorConfig) -> int:
    """Bits of a signed byte coordinate within a row: twice the activation buffer, to both sides."""
    return config.activation_bytes.bit_length() + 1


def row_bytes_width(config: AcceleratorConfig) -> int:
    """Bits of the valid bytes of a row."""
    return byte_coordinate_width(config) - 1


def largest_row_bytes(config: AcceleratorConfig) -> int:
    """Most valid bytes of a row; a row that long has no end inside the range of byte coordinates."""
    return (1 << row_bytes_width(config)) - 1
