"""What a report shows of a compiled network beyond cycles: timeline of the engines, traffic, maps of the memories.

Everything comes from the command stream and the cycle model's run of it, and is plain data for a JSON file.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from systolith_compiler.image import Image
from systolith_golden.timeline import timeline
from systolith_spec.commands import COMMAND_BYTES, Engine, Space, decode

__all__ = ["KINDS", "TRAFFIC", "run_details"]

KINDS = ("load weights", "load activations", "load parameters", "compute", "vector", "tables", "store")
"""What a command of the timeline does, by the numbers of `timeline["kind"]`."""
TRAFFIC = ("weights", "activations", "parameters", "commands", "results")
"""Kinds of bytes between the accelerator and main memory."""
_SPACES = {Space.WEIGHT: ("load weights", "weights"), Space.ACTIVATION: ("load activations", "activations"),
           Space.PARAMETER: ("load parameters", "parameters")}
_NEAR = 64  # bytes between pieces that count as one


def run_details(image: Image, memory_latency: int = 20) -> dict:
    """Timeline, traffic and memory maps of one inference.

    Returns
    -------
    dict
        `timeline`: columns "kind" (index into `KINDS`), "layer", "begin" and "end" (cycles from the start, a host's work
        taking none), one entry for each command. `traffic`: for each layer the bytes by the names of `TRAFFIC`.
        `memory_map`: pieces of the image by "kind", "name", "offset" and "size". `activation_buffer`: pieces by "layer"
        that wrote them, "start" and "size" in bytes, "begin" and "end" in cycles. `cycles`: in total.
    """
    columns: dict[str, list[int]] = {"kind": [], "layer": [], "begin": [], "end": []}
    traffic: dict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys(TRAFFIC, 0))
    pieces: dict[str, list[tuple[int, int]]] = defaultdict(list)
    writes: list[tuple[int, int, int, float, float]] = []
    reads: list[tuple[int, int, float]] = []
    start = 0
    for step in image.steps:
        if step.program is None:
            continue
        commands = image.commands(step)
        pieces["commands"].append((step.program, step.program + COMMAND_BYTES * len(commands)))
        times, total = timeline(image.config, commands, memory_latency, program_offset=step.program,
                                program_limit=image.writable)
        for entry, command in zip(times, commands, strict=False):
            fields = decode(command)[1]
            work = entry.work
            kind, source = _kind(entry)
            end = start + (entry.end or entry.retired)
            begin = start + (entry.begin or entry.offered)
            for name, value in zip(columns, (KINDS.index(kind), work.layer, int(begin), int(end)), strict=True):
                columns[name].append(value)
            own = traffic[work.layer]
            own["commands"] += COMMAND_BYTES
            if source is not None:
                own[source] += sum(work.bursts) * image.config.axi_bytes
                pieces[source].append(_memory_range(fields))
            _touch(kind, fields, work.layer, begin, end, image.config.rows, writes, reads)
        start += total
    return {"cycles": start, "timeline": columns, "traffic": [{"layer": layer, **traffic[layer]} for layer in sorted(traffic)],
            "memory_map": _memory_map(image, pieces), "activation_buffer": _occupancy(writes, reads)}


def _kind(entry) -> tuple[str, str | None]:
    """Kind of a command, and the kind of its bytes in main memory."""
    if entry.work.engine == Engine.LOAD:
        return _SPACES[entry.space]
    if entry.work.engine == Engine.STORE:
        return "store", "results"
    if entry.work.engine == Engine.COMPUTE:
        return "compute", None
    return ("tables" if entry.work.params else "vector"), None


def _memory_range(fields: Mapping[str, int]) -> tuple[int, int]:
    """Bytes of main memory that a LOAD or STORE spans."""
    steps = [_signed(fields[f"memory_step_{loop}"]) * (fields[f"count_{loop}"] - 1) for loop in (1, 2)]
    low = fields["memory"] + sum(min(step, 0) for step in steps)
    return low, fields["memory"] + sum(max(step, 0) for step in steps) + fields["length"]


def _signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value


def _touch(kind, fields, layer, begin, end, rows, writes, reads) -> None:
    """Note the bytes of the activation buffer that a command spans."""
    if kind in ("load activations", "store"):
        span = sum((fields[f"count_{loop}"] - 1) * fields[f"buffer_step_{loop}"] for loop in (1, 2)) + fields["length"]
        low, high = fields["buffer"], fields["buffer"] + span
        if kind == "store":
            reads.append((low, high, end))
        else:
            writes.append((low, high, layer, begin, end))
    elif kind == "vector":
        span = (fields["y_count"] - 1) * fields["destination_y"] + (fields["x_count"] - 1) * fields["destination_x"]
        writes.append((fields["destination"], fields["destination"] + span + fields["channels"], layer, begin, end))
        if fields["source"]:
            reads.append((*_walk_range(fields, fields["channels"]), end))
    elif kind == "compute":
        reads.append((*_walk_range(fields, fields["chunk_count"] * rows), end))


def _walk_range(fields: Mapping[str, int], run: int) -> tuple[int, int]:
    """Bytes of the activation buffer that a window walk spans."""
    low = fields["base"] + max(0, fields["first_byte"])
    lines = (fields["y_count"] - 1) * fields["y_addr_step"] + (fields["ky_count"] - 1) * fields["ky_addr_step"]
    across = (fields["x_count"] - 1) * fields["x_byte_step"] + (fields["kx_count"] - 1) * abs(fields["kx_byte_step"])
    return low, fields["base"] + lines + min(fields["row_bytes"], max(fields["first_byte"], 0) + max(across, 0) + run)


def _merge(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, those that overlap or lie close together joined."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + _NEAR:
            merged[-1] = merged[-1][0], max(merged[-1][1], high)
        else:
            merged.append((low, high))
    return merged


def _memory_map(image: Image, pieces: Mapping[str, list[tuple[int, int]]]) -> list[dict]:
    """Pieces of the image in order; tensors of the host's go before what the commands say of the same bytes."""
    named = [(kind, record.name, record.offset, record.size) for kind, records in (
        ("input", image.inputs), ("output", image.outputs), ("host", image.scratch)) for record in records]
    taken = [(offset, offset + size) for _, _, offset, size in named]
    for kind in ("commands", "weights", "parameters", "activations", "results"):
        for low, high in _merge(pieces.get(kind, ())):
            if not any(low < stop and first < high for first, stop in taken):
                named.append((kind, "", low, high - low))
                taken.append((low, high))
    return [{"kind": kind, "name": name, "offset": offset, "size": size}
            for kind, name, offset, size in sorted(named, key=lambda piece: piece[2])]


def _occupancy(writes: list, reads: list) -> list[dict]:
    """What each layer writes to the activation buffer, from its first write to the last read before it is overwritten."""
    by_layer: dict[int, list] = defaultdict(list)
    for low, high, layer, begin, end in writes:
        by_layer[layer].append((low, high, begin, end))
    areas = []
    for layer, entries in by_layer.items():
        for low, high in _merge((low, high) for low, high, _, _ in entries):
            inside = [entry for entry in entries if low <= entry[0] < high]
            areas.append({"layer": layer, "start": low, "size": high - low, "begin": int(min(e[2] for e in inside)),
                          "end": int(max(e[3] for e in inside))})
    for area in areas:
        low, high = area["start"], area["start"] + area["size"]
        until = min((other["begin"] for other in areas if other["begin"] > area["end"] and other["start"] < high
                     and low < other["start"] + other["size"]), default=float("inf"))
        touching = [end for first, stop, end in reads if first < high and low < stop and area["begin"] < end <= until]
        area["end"] = int(max([area["end"], *touching]))
    return sorted(areas, key=lambda area: (area["begin"], area["start"]))
