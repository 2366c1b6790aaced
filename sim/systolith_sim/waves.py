"""Makes a waveform readable: commands in words inside the file, and a prepared view beside it.

`annotate` adds a scope `decoded` to a value change dump: for every engine the text of the command that retires next, and the
layer that the array works on. `write_view` writes a save file for GTKWave (``.gtkw``) with groups and text for codes,
`write_surfer_commands` a command file for Surfer (``.sucl``) with the same groups.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from vcd.gtkw import GTKWSave

from systolith_compiler.image import Image
from systolith_spec.commands import Engine, Space, decode

__all__ = ["annotate", "command_text", "prepare", "read_signals", "write_surfer_commands", "write_view"]

_RETIRE, _CLOCK = "trace_retire", "clk"
_ZOOM = -11.0  # GTKWave: powers of two of the time unit in a pixel, about 200 cycles in a window
_CODES = "~~~~"  # begin of the identifiers of added signals; those of simulators are shorter
_STAGES = {Engine.LOAD: "load", Engine.COMPUTE: "compute", Engine.VECTOR: "vector", Engine.STORE: "store"}
_RESPONSES = {0: "OKAY", 1: "EXOKAY", 2: "SLVERR", 3: "DECERR"}


def command_text(command: bytes) -> str:
    """A command in words, for example ``COMPUTE layer 2, 4x8 pixels, 9 tiles, weights 0x40``."""
    kind, fields = decode(command)
    name = kind.name
    text = [f"{name} layer {fields['layer']}"]
    if name in ("COMPUTE", "VECTOR"):
        text.append(f"{fields['y_count']}x{fields['x_count']} pixels")
    if name == "COMPUTE":
        text += [f"{fields['ky_count'] * fields['kx_count'] * fields['chunk_count'] * fields['block_count']} tiles",
                 f"weights {fields['weights']:#x}", f"activations {fields['base']:#x}", f"sums {fields['accumulator']}"]
        text += ["column mode"] if fields["column_mode"] else []
    elif name == "VECTOR":
        text += [f"{fields['channels']} channels", f"{'activations' if fields['source'] else 'sums'} {fields['base']:#x}",
                 f"to {fields['destination']:#x}"]
    elif name == "PARAMS":
        text += [f"{fields['channels']} channels", f"bank {fields['bank']}"]
    elif name in ("LOAD", "STORE"):
        runs = fields["count_1"] * fields["count_2"]
        text.append(f"{runs} x {fields['length']} bytes" if runs > 1 else f"{fields['length']} bytes")
        text.append(f"memory {fields['memory']:#x}")
        space = Space(fields["space"]).name.lower() if name == "LOAD" else "activation"
        text.append(f"{'to' if name == 'LOAD' else 'from'} {space} {fields['buffer']:#x}")
    tokens = [f"{word} {'+'.join(engine.name for engine in Engine if fields[key] >> engine & 1)}"
              for key, word in (("wait", "waits for"), ("signal", "tells")) if fields[key]]
    return ", ".join(text + tokens)


@dataclass
class _Engine:
    """Commands of one engine in order, and how many have retired."""

    texts: list[str]
    layers: list[int]
    retired: int = 0

    def text(self) -> str:
        return self.texts[self.retired] if self.retired < len(self.texts) else "-"


@dataclass
class _Decoder:
    """Follows the retirements of all engines."""

    engines: dict[Engine, _Engine] = field(default_factory=dict)
    layer_names: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, image: Image, samples: int) -> "_Decoder":
        engines = {engine: _Engine([], []) for engine in Engine}
        for step in image.steps:
            for command in image.commands(step) if step.program is not None else ():
                kind, fields = decode(command)
                if kind.engine is None:
                    break
                engines[kind.engine].texts.append(command_text(command))
                engines[kind.engine].layers.append(fields["layer"])
        for entry in engines.values():
            entry.texts *= samples
            entry.layers *= samples
        return cls(engines, {layer.index: f"{layer.index} {layer.op}" for layer in image.layers})

    def retire(self, mask: int) -> None:
        for engine, entry in self.engines.items():
            entry.retired += mask >> engine & 1

    def values(self) -> dict[str, str]:
        compute = self.engines[Engine.COMPUTE]
        layer = compute.layers[min(compute.retired, len(compute.layers) - 1)] if compute.layers else None
        return {**{_STAGES[engine]: entry.text() for engine, entry in self.engines.items()},
                "layer": self.layer_names.get(layer, "-")}


def annotate(waves: Path, image: Image, samples: int = 1) -> None:
    """Add the scope `decoded` to a value change dump of `samples` inferences, in place.

    Raises
    ------
    ValueError
        It has no signals `clk` and `trace_retire`.
    """
    decoder = _Decoder.of(image, samples)
    names = list(decoder.values())
    partial = waves.with_suffix(".partial")
    with waves.open() as source, partial.open("w") as target:
        codes: dict[str, str] = {}
        declared, left_out = set(), set()
        for line in source:
            words = line.split()
            if words[:1] == ["$var"]:
                name, code = words[4], words[3]
                # Names that yosys made up: of no use, and GTKWave refuses the colons in some of them.
                if name.startswith("$"):
                    left_out.add(code)
                    continue
                declared.add(code)
                codes.setdefault(name, code)
            elif words[:1] == ["$enddefinitions"]:
                target.write("$scope module decoded $end\n")
                target.writelines(f"$var string 1 {_CODES}{index} {name} $end\n" for index, name in enumerate(names))
                target.write("$upscope $end\n" + line)
                break
            target.write(line)
        if not {_CLOCK, _RETIRE} <= codes.keys():
            partial.unlink()
            raise ValueError(f"Waveform must have signals {_CLOCK} and {_RETIRE}")
        _copy_changes(source, target, decoder, codes, left_out - declared)
    partial.replace(waves)


def _copy_changes(source: Iterable[str], target: TextIO, decoder: _Decoder, codes: Mapping[str, str],
                  left_out: set[str]) -> None:
    """Copy the changes of a dump but those of the signals left out, and add the texts."""
    shown: dict[str, str] = {}
    mask = 0
    for line in source:
        kind = line[0]
        code = line.split()[-1] if kind in "br" else line[1:].strip()
        if kind in "br01xz" and code in left_out:
            continue
        target.write(line)
        if kind == "#":
            _show(target, decoder, shown)
        elif kind == "1" and code == codes[_CLOCK]:
            decoder.retire(mask)  # what the edge sees is the value before it
            _show(target, decoder, shown)
        elif kind == "b" and code == codes[_RETIRE]:
            mask = int(line[1:].split()[0].replace("x", "0"), 2)


def _show(target: TextIO, decoder: _Decoder, shown: dict[str, str]) -> None:
    """Write the added signals that have changed."""
    for index, (name, text) in enumerate(decoder.values().items()):
        if shown.get(name) != text:
            shown[name] = text
            target.write(f"s{text.replace(' ', '_')} {_CODES}{index}\n")


def _signals(waves: Path) -> Iterator[tuple[str, int, str]]:
    """Full name, width and identifier of every signal of a dump."""
    scope: list[str] = []
    with waves.open() as file:
        for line in file:
            words = line.split()
            if words[:1] == ["$scope"]:
                scope.append(words[2])
            elif words[:1] == ["$upscope"]:
                scope.pop()
            elif words[:1] == ["$var"]:
                yield ".".join([*scope, words[4]]), int(words[2]), words[3]
            elif words[:1] == ["$enddefinitions"]:
                return


def read_signals(waves: Path, names: Mapping[str, str]) -> dict[str, list[tuple[int, int | str]]]:
    """Changes of some signals, (time, value); unknown bits read as 0.

    Parameters
    ----------
    waves : Path
    names : mapping of str to str
        Full name of each signal by the name in the result.
    """
    wanted = {full: name for name, full in names.items()}
    codes: dict[str, list[str]] = {}
    for full, _, code in _signals(waves):
        if full in wanted:
            codes.setdefault(code, []).append(wanted.pop(full))
    if wanted:
        raise ValueError(f"Waveform must have the signal {sorted(wanted)[0]}")
    changes: dict[str, list] = {name: [] for name in names}
    time = 0
    with waves.open() as file:
        for line in file:
            kind = line[0]
            if kind == "#":
                time = int(line[1:])
            elif kind in "bs":
                value, code = line[1:].split()
                for name in codes.get(code, ()):
                    changes[name].append((time, value if kind == "s" else int(value.replace("x", "0").replace("z", "0"), 2)))
            elif kind in "01xz":
                for name in codes.get(line[1:].strip(), ()):
                    changes[name].append((time, int(kind == "1")))
    return changes


# Groups of the view: title, and patterns of the names below the testbench; what the dump does not have is left out.
_GROUPS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("program", (r"clk", r"irq", r"decoded\.(layer|load|compute|vector|store)")),
    ("reads", (r"m_axi_ar(valid|ready|addr|len|id)", r"m_axi_r(valid|ready|data|last|id|resp)")),
    ("writes", (r"m_axi_aw(valid|ready|addr|len)", r"m_axi_w(valid|ready|data|strb|last)", r"m_axi_b(valid|ready|resp)")),
    ("registers", (r"s_axil_(aw|w|ar|r|b)(valid|ready|addr|data)",)),
    ("retired", (r"trace_retire", r"trace_layer")),
    ("weights into the array", (r".*\.compute\.array\.(load|load_pair|weights)",)),
    ("first column of the array",
     (r".*\.array\.pe_\d+_0\.(activation|column_activation|swap|latch|weight|partial_sum|s4_sum)",)),
    ("sums out of the array", (r".*\.compute\.array\.sums(\[\d+\])?", r".*\.accumulator_buffer\.updates__valid")),
)


def _grouped(waves: Path) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Title of each group that the dump has, and name and width of its signals; none is in two groups."""
    signals = [(name, width) for name, width, _ in _signals(waves)]
    seen = set()
    for title, patterns in _GROUPS:
        found = _without_copies([(name, width) for pattern in patterns for name, width in signals
                                 if name not in seen and re.fullmatch(rf"(testbench\.)?{pattern}", name)])
        seen |= {name for name, _ in found}
        if found:
            yield title, found


def write_surfer_commands(waves: Path) -> Path:
    """Write the command file of Surfer for a dump; return its path.

    Names of dividers are single words there.
    """
    lines = []
    for title, found in _grouped(waves):
        lines += [f"divider_add {title.replace(' ', '_')}", *(f"variable_add {name}" for name, _ in found)]
    path = waves.with_suffix(".sucl")
    path.write_text("".join(f"{line}\n" for line in [*lines, "zoom_fit"]))
    return path


def write_view(waves: Path) -> Path:
    """Write the save file of GTKWave for a dump, and files with the text of codes.

    Returns
    -------
    Path
        The save file.
    """
    responses = waves.with_suffix(".responses.txt")
    responses.write_text("".join(f"{code:x} {text}\n" for code, text in _RESPONSES.items()))
    view = waves.with_suffix(".gtkw")
    with view.open("w") as file:
        save = GTKWSave(file)
        save.dumpfile(str(waves.resolve()))
        save.savefile(str(view.resolve()))
        save.size(1600, 900)
        save.signals_width(320)
        save.zoom_markers(_ZOOM)
        for title, found in _grouped(waves):
            with save.group(title):
                for name, width in found:
                    options = {"translate_filter_file": str(responses.resolve())} if name.endswith("resp") else {}
                    text = "decoded." in name
                    save.trace(name if width == 1 or text or name.endswith("]") else f"{name}[{width - 1}:0]",
                               alias=name.rpartition(".")[2] if "pe_" not in name else ".".join(name.split(".")[-2:]),
                               datafmt="ascii" if text else "hex" if width > 16 else "dec" if width > 1 else "bin", **options)
    return view


def _without_copies(found: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The same signal may be in the dump at several levels: the outermost is enough."""
    kept: dict[str, tuple[str, int]] = {}
    for name, width in found:
        key = name.removeprefix("testbench.")
        if key not in kept:
            kept[key] = name, width
    return list(kept.values())


def prepare(waves: Path, image: Image, samples: int) -> Path | None:
    """Annotate a dump and write its views; returns that of GTKWave, None for a file of another format."""
    if waves.suffix != ".vcd":
        return None
    annotate(waves, image, samples)
    write_surfer_commands(waves)
    return write_view(waves)
