"""Fuzzing of what users hand in: `.tflite` files and image files.

A *target* takes bytes and says what became of them: refused with a clear error, accepted, or run with the correct
result. Anything else, an exception of another kind or a wrong result, passes through. Mutations are of bytes, and of
structure: a file that parses again but says something else, with its checksum made right.
"""

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Protocol

import numpy as np

from systolith_compiler.compiler import compile_graph
from systolith_compiler.graph import Graph, ModelError, Quantization
from systolith_compiler.image import Image, ImageError
from systolith_compiler.tflite_reader import parse_tflite
from systolith_golden.interpreter import run_outputs
from systolith_golden.machine import MachineError
from systolith_sim.executor import Executor, MachineTarget
from systolith_sim.models import model_path
from systolith_sim.random_networks import EXTRA_STEPS, STEPS, random_inputs, random_network
from systolith_sim.tflite_writer import serialize_tflite
from systolith_spec.commands import COMMAND_BYTES, command_for_opcode
from systolith_spec.presets import preset

__all__ = ["TARGETS", "FuzzError", "ImageTarget", "Target", "TfliteTarget", "mutate_bytes", "mutation", "one_line", "seal"]

_CONFIG = preset("tiny-4x4")
_PREFIX = struct.Struct("<8sIII")
_INTERESTING = (0, 1, 2, 3, 7, 8, 63, 64, 65, 127, 128, 255, 256, 4095, 4096, 32767, 32768, 65535, 65536, 1 << 20,
                (1 << 24) - 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 62, 1 << 63, -1, -2, -128, -129,
                -32768, -(1 << 31), -(1 << 63), 10**30)
_LARGEST_RUN = 1 << 12  # elements of a tensor of a model that is compiled and run, not only read


class FuzzError(AssertionError):
    """A target accepted an input and gave a wrong result, or an unclear message."""


class Target(Protocol):
    """What is fuzzed."""

    def corpus(self) -> list[bytes]:
        """Good inputs to start from."""

    def mutate(self, data: bytes, rng: np.random.Generator) -> bytes:
        """A structured mutation of a good input."""

    def __call__(self, data: bytes) -> str:
        """Handle an input: "refused", "accepted" or "correct"."""


def _small(seed: int) -> Graph:
    """A network of one or two operators and perhaps a classifier."""
    return random_network(seed, steps=STEPS + EXTRA_STEPS, count=(1, 2), max_size=6, max_channels=6)


@cache
def _images() -> list[bytes]:
    return [compile_graph(_small(seed), _CONFIG).serialize() for seed in range(8)]


@cache
def _models() -> list[bytes]:
    return [serialize_tflite(_small(seed), external_buffers=seed % 5 == 4) for seed in range(20)]


def one_line(error: Exception) -> None:
    """A message for users is one line of reasonable length."""
    text = str(error)
    if not text or len(text) > 2000:
        raise FuzzError(f"The message must be 1 to 2000 characters, not {len(text)}: {text[:100]!r}")


def mutate_bytes(data: bytes, rng: np.random.Generator, other: bytes = b"") -> bytes:
    """Change a few bytes or words, cut, repeat or insert from another input."""
    result = bytearray(data)
    for _ in range(1 + int(rng.geometric(0.4))):
        place = int(rng.integers(len(result) + 1)) if result else 0
        length = int(rng.integers(1, 33))
        match rng.integers(8):
            case 0 | 1 if place < len(result):
                result[place] = int(rng.integers(256))
            case 2 if place < len(result):
                result[place] ^= 1 << int(rng.integers(8))
            case 3 | 4:
                place &= ~3
                value = _INTERESTING[rng.integers(len(_INTERESTING))] & 0xFFFF_FFFF
                result[place:place + 4] = value.to_bytes(4, "little")
            case 5:
                del result[place:place + length]
            case 6 if other:
                start = int(rng.integers(len(other)))
                result[place:place + length] = other[start:start + length]
            case 7 if rng.random() < 0.3:
                del result[place:]
    return bytes(result)


def mutation(target: Target, corpus: list[bytes], seed: int) -> bytes:
    """The input of a seed: a structured mutation, or one of bytes, of one of the good inputs."""
    rng = np.random.default_rng(seed)
    data = corpus[rng.integers(len(corpus))]
    if rng.random() < 0.7:
        return target.mutate(data, rng)
    changed = mutate_bytes(data, rng, corpus[rng.integers(len(corpus))])
    return seal(changed) if rng.random() < 0.5 else changed


def seal(data: bytes) -> bytes:
    """Make the checksum of an image right; other data stays as it is."""
    if len(data) < _PREFIX.size or data[:8] != b"SYSTOLTH":
        return data
    return data[:_PREFIX.size - 4] + zlib.crc32(data[_PREFIX.size:]).to_bytes(4, "little") + data[_PREFIX.size:]


def _value(old, rng: np.random.Generator):
    """Something to put in the place of a value of a header."""
    match rng.integers(8):
        case 0 | 1 | 2 if isinstance(old, int):
            return old + int(rng.integers(-3, 4))
        case 3 if isinstance(old, int):
            return old * 2
        case 4:
            return (None, True, "", "int8", "object", 1.5, float("nan"), [], {}, [[]], "x" * 5000)[rng.integers(11)]
    return _INTERESTING[rng.integers(len(_INTERESTING))]


def _change_json(node, rng: np.random.Generator):
    """Change, drop, repeat or add one entry somewhere in a JSON value."""
    if isinstance(node, dict) and node:
        key = list(node)[rng.integers(len(node))]
        match rng.integers(12):
            case 0:
                node.pop(key)
            case 1:
                node["surprise"] = 1
            case _:
                node[key] = _change_json(node[key], rng)
        return node
    if isinstance(node, list) and node and rng.random() < 0.9:
        place = int(rng.integers(len(node)))
        match rng.integers(8):
            case 0:
                node.pop(place)
            case 1:
                node.insert(place, node[place])
            case _:
                node[place] = _change_json(node[place], rng)
        return node
    return _value(node, rng)


class ImageTarget:
    """The image reader, and the machine model for the programs of what it accepts.

    Parameters
    ----------
    share : int
        One of this many accepted images is run, chosen by its contents.
    """

    def __init__(self, share: int = 1):
        self.share = share

    def corpus(self) -> list[bytes]:
        return _images()

    def mutate(self, data: bytes, rng: np.random.Generator) -> bytes:
        magic, version, length, _ = _PREFIX.unpack_from(data)
        header, memory = data[_PREFIX.size:_PREFIX.size + length], bytearray(data[_PREFIX.size + length:])
        values = json.loads(header)
        if rng.random() < 0.4:
            for _ in range(int(rng.geometric(0.6))):
                values = _change_json(values, rng)
        else:
            for _ in range(int(rng.geometric(0.6))):
                _change_command(memory, values["steps"], rng)
        if rng.random() < 0.05:
            del memory[int(rng.integers(len(memory))):]
        header = json.dumps(values).encode()  # NaN and infinities are written too
        if rng.random() < 0.05:
            header = mutate_bytes(header, rng, data)
        return _PREFIX.pack(magic, version, len(header), zlib.crc32(header + memory)) + header + memory

    def __call__(self, data: bytes) -> str:
        try:
            image = Image.parse(data)
        except ImageError as error:
            one_line(error)
            return "refused"
        if zlib.crc32(data) % self.share or image.memory.size > 1 << 20:
            return "accepted"
        target = MachineTarget(image)
        outcome = "correct"
        try:
            for step in image.steps[:4]:
                if step.program is not None:
                    target.machine.run(step.program)
        except MachineError as error:
            one_line(error)
            outcome = "refused"
        if not np.array_equal(target.memory[:image.writable], image.memory[:image.writable]):
            raise AssertionError("A program has written below what is writable")
        return outcome


def _change_command(memory: bytearray, steps: list[dict], rng: np.random.Generator) -> None:
    """Change a field of a command of one of the programs, or a byte of it."""
    programs = [step for step in steps if isinstance(step.get("program"), int) and isinstance(step.get("commands"), int)]
    if not programs:
        return
    step = programs[rng.integers(len(programs))]
    if step["commands"] < 1:
        return
    place = step["program"] + COMMAND_BYTES * int(rng.integers(step["commands"]))
    if not 0 <= place <= len(memory) - COMMAND_BYTES:
        return
    try:
        command = command_for_opcode(memory[place] & 0xF)
    except ValueError:
        return
    field = command.fields[rng.integers(len(command.fields))]
    at = place + 4 * field.word
    word = int.from_bytes(memory[at:at + 4], "little")
    old, mask = word >> field.lsb & ((1 << field.width) - 1), (1 << field.width) - 1
    choices = (old + 1, old - 1, old ^ 1 << int(rng.integers(field.width)), int(rng.integers(mask + 1)), 0, mask)
    new = choices[rng.integers(len(choices))] & mask
    memory[at:at + 4] = (word & ~(mask << field.lsb) | new << field.lsb).to_bytes(4, "little")


class TfliteTarget:
    """The `.tflite` reader, and compiler, machine model and tensor level for the small models that it accepts.

    Parameters
    ----------
    share : int
        One of this many accepted models is compiled and run, chosen by its contents.
    """

    def __init__(self, share: int = 1):
        self.share = share

    def corpus(self) -> list[bytes]:
        paths = [model_path(name) for name in ("hello_world_int8", "kws_ref_model", "lenet5_mnist_int8_b1")]
        return _models() + [path.read_bytes() for path in paths if path is not None]

    def mutate(self, data: bytes, rng: np.random.Generator) -> bytes:
        graph = parse_tflite(data)
        for _ in range(int(rng.geometric(0.6))):
            graph = _change_graph(graph, rng)
        try:
            return serialize_tflite(graph)
        except (ValueError, TypeError, KeyError, AttributeError, struct.error, OverflowError):
            return mutate_bytes(data, rng)  # the writer cannot say this

    def __call__(self, data: bytes) -> str:
        try:
            graph = parse_tflite(data)
            if zlib.crc32(data) % self.share or _largest(graph) > _LARGEST_RUN:
                return "accepted"
            return _run(graph)
        except ModelError as error:
            one_line(error)
            return "refused"


def _largest(graph: Graph) -> int:
    """Elements of the largest tensor."""
    return max(int(np.prod(tensor.shape, dtype=float)) for tensor in graph.tensors)


def _run(graph: Graph) -> str:
    """Compile a model, run it on the machine model and compare with the tensor level."""
    image = compile_graph(graph, _CONFIG)
    inputs = random_inputs(graph, 1)
    wanted = run_outputs(graph, inputs)
    results = Executor(image, graph, MachineTarget(image)).infer_now(inputs)
    for index, a, b in zip(graph.outputs, results, wanted, strict=True):
        if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            raise FuzzError(f"Output {index} differs between machine and tensor level")
    return "correct"


def _change_graph(graph: Graph, rng: np.random.Generator) -> Graph:
    """Change one thing that a model says."""
    tensors, operators = list(graph.tensors), list(graph.operators)
    changes: tuple[Callable, ...] = (_change_shape, _change_type, _change_quantization, _change_data)
    if rng.random() < 0.6 or not operators:
        place = int(rng.integers(len(tensors)))
        tensors[place] = changes[rng.integers(len(changes))](tensors[place], rng)
        return replace(graph, tensors=tensors)
    place = int(rng.integers(len(operators)))
    operator = operators[place]
    match rng.integers(6):
        case 0:
            operators.pop(place)
        case 1:
            operators.insert(int(rng.integers(len(operators))), operators.pop(place))
        case 2 if operator.inputs:
            inputs = list(operator.inputs)
            inputs[rng.integers(len(inputs))] = int(rng.integers(-1, len(tensors) + 1))
            operators[place] = replace(operator, inputs=tuple(inputs))
        case 3:
            operators[place] = replace(operator, kind=operators[rng.integers(len(operators))].kind)
        case 4:
            operators[place] = replace(operator, inputs=operator.inputs[:-1])
        case _:
            options = dict(operator.options)
            numbers = [key for key, value in options.items() if isinstance(value, int)]
            if numbers:
                options[numbers[rng.integers(len(numbers))]] = int(rng.choice([-1, 0, 1, 2, 3, 100, 1 << 20, (1 << 31) - 1]))
            operators[place] = replace(operator, options=options)
    return replace(graph, operators=operators)


def _change_shape(tensor, rng: np.random.Generator):
    shape = list(tensor.shape)
    match rng.integers(4):
        case 0:
            shape.append(1)
        case 1:
            shape = shape[1:]
        case _ if shape:
            place = rng.integers(len(shape))
            shape[place] = int(rng.choice([0, 1, 2, 3, shape[place] + 1, shape[place] * 2, 1000, 1 << 30]))
    data = tensor.data
    if data is not None and rng.random() < 0.8 and 0 < np.prod(shape, dtype=float) < 1 << 16:
        data = np.resize(data, shape)
    return replace(tensor, shape=tuple(shape), data=data)


def _change_type(tensor, rng: np.random.Generator):
    dtype = np.dtype(rng.choice(["int8", "uint8", "int16", "int32", "int64", "float32"]))
    data = tensor.data if tensor.data is None or tensor.data.dtype.kind == "V" else tensor.data.astype(dtype)
    return replace(tensor, dtype=dtype, data=data)


def _change_quantization(tensor, rng: np.random.Generator):
    scale = float(rng.choice([0, 1e-38, 1e-8, 0.01, 1, 1e8, 3e38, -1, np.inf, np.nan]))
    old = tensor.quantization
    match rng.integers(4):
        case 0:
            return replace(tensor, quantization=None)
        case 1:
            return replace(tensor, quantization=Quantization.per_tensor(scale, int(rng.integers(-130, 130))))
        case 2 if old is not None:
            return replace(tensor, quantization=replace(old, axis=int(rng.integers(-1, 5))))
        case _ if old is not None:
            scales = old.scales.copy()
            scales[rng.integers(len(scales))] = scale
            return replace(tensor, quantization=replace(old, scales=scales))
    return tensor


def _change_data(tensor, rng: np.random.Generator):
    if tensor.data is None or not tensor.data.size or tensor.data.dtype.kind not in "iu":
        return tensor
    limits = np.iinfo(tensor.data.dtype)
    data = tensor.data.copy()
    data.reshape(-1)[rng.integers(data.size)] = int(rng.choice([limits.min, limits.max, 0, 1, 2]))
    return replace(tensor, data=data)


TARGETS: dict[str, Callable[[int], Target]] = {"image": ImageTarget, "tflite": TfliteTarget}
