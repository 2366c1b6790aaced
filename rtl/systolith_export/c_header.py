"""C header with the registers, generated from their table."""

import re

from systolith_spec.registers import ID_VALUE, REGISTERS, VERSION_VALUE, ErrorCode, Register

__all__ = ["c_header", "counter_registers"]

_NOTICE = "/* Registers of Systolith. Generated from their table; do not edit. */"


def counter_registers() -> list[Register]:
    """The registers that count, in order of their offsets."""
    first = next(entry.offset for entry in REGISTERS if entry.name == "CYCLES")
    return [entry for entry in REGISTERS if entry.offset >= first]


def _comment(text: str) -> str:
    return "/* " + re.sub(r"\*/", "* /", text) + " */"


def _register_lines(entry: Register) -> list[str]:
    lines = [_comment(f"{entry.access}: {entry.description}"), f"#define SYSTOLITH_{entry.name} 0x{entry.offset:03X}u"]
    for field in entry.fields:
        name = f"SYSTOLITH_{entry.name}_{field.name.upper()}"
        mask = ((1 << field.width) - 1) << field.lsb
        lines += [f"#define {name} 0x{mask:X}u {_comment(field.description)}", f"#define {name}_LSB {field.lsb}u"]
    return lines


def c_header() -> str:
    """Return ``systolith_regs.h``.

    For each register ``SYSTOLITH_<REGISTER>`` is its byte offset; for each field ``SYSTOLITH_<REGISTER>_<FIELD>`` is
    its mask and ``..._LSB`` its lowest bit. ``enum systolith_error_code`` has the error codes, and
    ``struct systolith_counters`` a member for each counter, which ``SYSTOLITH_COUNTERS`` lists with its offset.

    Returns
    -------
    str
    """
    lines = [_NOTICE, "#ifndef SYSTOLITH_REGS_H", "#define SYSTOLITH_REGS_H", "", "#include <stdint.h>", "",
             f"#define SYSTOLITH_ID_VALUE 0x{ID_VALUE:08X}u", f"#define SYSTOLITH_VERSION_VALUE 0x{VERSION_VALUE:08X}u",
             f"#define SYSTOLITH_REGISTER_COUNT {len(REGISTERS)}u", ""]
    for entry in REGISTERS:
        lines += [*_register_lines(entry), ""]
    lines += ["enum systolith_error_code {",
              ",\n".join(f"    SYSTOLITH_ERROR_CODE_{code.name} = {int(code)}" for code in ErrorCode), "};", ""]
    counters = counter_registers()
    lines += ["struct systolith_counters {",
              *(f"    uint32_t {entry.name.lower()};" for entry in counters), "};", "",
              "/* X(member of struct systolith_counters, offset of its register) */",
              "#define SYSTOLITH_COUNTERS(X) \\",
              " \\\n".join(f"    X({entry.name.lower()}, SYSTOLITH_{entry.name})" for entry in counters), "",
              "#endif", ""]
    return "\n".join(lines)
