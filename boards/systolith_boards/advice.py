"""One line that says what limits the clock."""

import re
from collections import Counter

__all__ = ["advice"]

_MADE_UP = re.compile(r"_LUT4_|_CCU2C_|_SB_|_ALU_|\$")  # names that synthesis gives to what had none
_WIRES = 0.65  # share of routing from which on placement is the problem, not logic


def advice(critical_path: list[dict]) -> str:
    """Return what limits the clock and what would help, as far as the critical path tells.

    Parameters
    ----------
    critical_path : list of dict
        See `SynthesisReport.critical_path`.

    Returns
    -------
    str
        Empty if there is no path.
    """
    total = sum(segment["ns"] for segment in critical_path)
    if not total:
        return ""
    share = Counter()
    for segment in critical_path:
        share[segment["kind"]] += segment["ns"] / total
    modules = Counter()
    for segment in critical_path:
        modules[segment["module"] or "the top"] += segment["ns"]
    where = modules.most_common(1)[0][0]
    worst = max(critical_path, key=lambda segment: segment["ns"])
    levels = sum(segment["kind"] == "logic" for segment in critical_path)
    if share["routing"] > _WIRES:
        what = (f"{share['routing']:.0%} of the path is wires, the longest {worst['ns']:.1f} ns"
                + (f" ({worst['net']})" if worst["net"] and not _MADE_UP.search(worst["net"]) else "")
                + ": try --seeds, a smaller configuration, or registers closer to their load")
    elif levels > 4:
        what = f"{levels} levels of logic between two registers: a register among them would help most"
    else:
        what = f"{worst['ns']:.1f} ns in {worst['kind']} at {worst['cell']}: the cell itself is slow, use its registers"
    return f"Limit: {where}. {what[0].upper()}{what[1:]}."
