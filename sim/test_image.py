"""Image files: what `Image.load` refuses, each rule once, with a checksum that is right."""

import json
from dataclasses import replace

import numpy as np
import pytest

from systolith_compiler.compiler import compile_graph
from systolith_compiler.image import Image, ImageError, Step
from systolith_compiler.image_header import TensorRecord
from systolith_sim.fuzzing import seal
from systolith_sim.random_networks import NetworkBuilder
from systolith_spec.commands import COMMAND_BYTES, Opcode, decode, encode
from systolith_spec.presets import preset

TINY = preset("tiny-4x4")


@pytest.fixture(scope="module")
def image():
    net = NetworkBuilder(1, (1, 4, 4, 2), "small")
    net.conv(3)
    net.relu6()
    net.tanh()
    net.reshape((1, -1))
    net.fully_connected(2)
    net.softmax()
    return compile_graph(net.graph(), TINY)


def refused(image: Image, message: str) -> None:
    with pytest.raises(ImageError, match=f"^image cannot be used: .*{message}"):
        Image.parse(image.serialize())


def with_command(image: Image, opcode: Opcode, **fields: int) -> Image:
    """The image with fields of the first command of a kind changed."""
    memory = image.memory.copy()
    for step in image.steps:
        for index, data in enumerate(image.commands(step) if step.program is not None else []):
            command, values = decode(data)
            if command.opcode == opcode:
                start = step.program + COMMAND_BYTES * index
                changed = encode(command.name, **{**values, **fields})
                memory[start:start + COMMAND_BYTES] = np.frombuffer(changed, np.uint8)
                return replace(image, memory=memory)
    raise AssertionError("no such command")


def test_round_trip(image):
    same = Image.parse(image.serialize())
    assert (same.steps, same.inputs, same.outputs, same.scratch, same.layers, same.config) == (
        image.steps, image.inputs, image.outputs, image.scratch, image.layers, image.config)
    assert any(step.operator is not None for step in same.steps)
    assert any(step.program is not None for step in same.steps)


@pytest.mark.parametrize(("text", "message"), [
    (b"", "its header is not a JSON object"),
    (b"[]", "its header is not a JSON object"),
    (b"{} ", "its header is not a JSON object"),
    (b"{" + b'"a":[' * 10_000 + b"}", "its header is not a JSON object"),
    (b"\xff", "its header is not a JSON object"),
    (b"{}", "the header must have 'model'"),
])
def test_header_is_not_the_expected_object(text, message):
    data = seal(b"SYSTOLTH\2\0\0\0" + len(text).to_bytes(4, "little") + bytes(4) + text)
    with pytest.raises(ImageError, match=f"^image cannot be used: {message}"):
        Image.parse(data)


@pytest.mark.parametrize(("path", "value", "message"), [
    (("model",), 3, "model must be str, not '3'"),
    (("rounding",), "up", "rounding must be one of double, single, not 'up'"),
    (("steps",), {}, "step must be list, not '{}'"),
    (("steps", 0), 1, "step 0 must be dict, not '1'"),
    (("steps", 0, "program"), 1.5, "step 0: program must be int or NoneType, not '1.5'"),
    (("steps", 0, "program"), None, "step 0 must be either a program or an operator of the host"),
    (("steps", 0, "program"), -64, "step 0 must have its commands inside the"),
    (("steps", 0, "program"), 2**70, "step 0 must have its commands inside the"),
    (("steps", 0, "program"), 1, "step 0 must begin at a multiple of 64 bytes, not 1"),
    (("steps", 0, "commands"), 0, "step 0 must have its commands inside the"),
    (("steps", 0, "commands"), 10**9, "step 0 must have its commands inside the"),
    (("writable",), "64", "writable must be int, not '64'"),
    (("writable",), -64, "writable must be a multiple of 64 from 0 to [0-9]+, not -64"),
    (("writable",), 10**9, "writable must be a multiple of 64 from 0 to [0-9]+, not 10+"),
    (("writable",), 96, "writable must be a multiple of 64 from 0 to [0-9]+, not 96"),
    (("writable",), 0, "step 0 must have its commands inside the 0 bytes that are only read"),
    (("steps", 0, "commands"), 2, "END must be the last of the 2 commands, and no other"),
    (("steps", 1, "operator"), -1, "step 1 must name an operator from 0 on and no commands"),
    (("inputs", 0, "dtype"), "object", "must have a known type, not 'object'"),
    (("inputs", 0, "shape"), [1, -4], "must have a valid index and shape, not"),
    (("inputs", 0, "shape"), [2**31] * 8, "must lie inside the"),
    (("inputs", 0, "shape"), [True], "input 0: shape must be int, not 'True'"),
    (("inputs", 0, "offset"), -1, "must lie inside the"),
    (("inputs", 0, "offset"), 10**9, "must lie inside the"),
    (("inputs", 0, "surprise"), 1, "input 0 must not have 'surprise'"),
    (("config", "rows"), 1000, "rows must be 2 to 64, not 1000"),
    (("config", "rows"), "4", "configuration: rows must be int, not '4'"),
    (("config", "pooling"), 1, "configuration: pooling must be bool, not '1'"),
])
def test_header_rules(image, path, value, message):
    data = image.serialize()
    length = int.from_bytes(data[12:16], "little")
    header = json.loads(data[20:20 + length])
    place = header
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    text = json.dumps(header).encode()
    with pytest.raises(ImageError, match=f"^image cannot be used: .*{message}"):
        Image.parse(seal(data[:12] + len(text).to_bytes(4, "little") + bytes(4) + text + data[20 + length:]))


def test_a_missing_key_is_named(image):
    data = image.serialize()
    length = int.from_bytes(data[12:16], "little")
    text = data[20:20 + length].replace(b'"offset"', b'"offs"', 1)
    with pytest.raises(ImageError, match="input 0 must not have 'offs'"):
        Image.parse(seal(data[:12] + len(text).to_bytes(4, "little") + bytes(4) + text + data[20 + length:]))


def test_tensors_and_programs_are_apart(image):
    program = image.steps[0].program
    overlapping = TensorRecord(99, "x", [64], "int8", program + 10)
    refused(replace(image, outputs=[overlapping]), r"tensor 99 \('x'\) must lie outside all programs")
    refused(replace(image, steps=[*image.steps, Step(program=program + 64, commands=1)]), "must not overlap")
    Image.parse(replace(image, steps=[*image.steps, *image.steps]).serialize())  # the same program twice is fine


@pytest.mark.parametrize(("opcode", "fields", "message"), [
    (Opcode.LOAD, {"space": 3}, "space must be 0, 1 or 2, not 3"),
    (Opcode.LOAD, {"length": 0}, "length must be at least 1, not 0"),
    (Opcode.LOAD, {"count_1": 0}, "count_1 must be at least 1, not 0"),
    (Opcode.LOAD, {"memory": 0xFFFF_FF00}, "memory must be inside"),
    (Opcode.LOAD, {"count_1": 2, "memory_step_1": 0xFFFF_0000}, "memory must be inside"),
    (Opcode.LOAD, {"buffer": 0xFF_FFFC}, "buffer must be inside"),
    (Opcode.LOAD, {"count_1": 65535, "count_2": 65535}, "a transfer must move at most 4194304 bytes"),
    (Opcode.LOAD, {"wait": 8}, r"would deadlock: it waits for token 1 from STORE"),
    (Opcode.LOAD, {"signal": 1}, "signal must not name the command's own engine"),
    (Opcode.STORE, {"signal": 15 - 8}, "tokens from STORE to LOAD must be used up at the end"),
])
def test_command_rules(image, opcode, fields, message):
    refused(with_command(image, opcode, **fields), f"program at .*{message}")


@pytest.mark.parametrize("where", [0, "program", "last"])
def test_store_into_what_is_only_read(image, where):
    memory = {0: 0, "program": image.steps[0].program + 64, "last": image.writable - 1}[where]
    refused(with_command(image, Opcode.STORE, memory=memory),
            f"STORE.: memory must be inside {image.writable:#x} to {image.memory.size:#x}, not {memory:#x} to")


def test_weights_from_what_is_written(image):
    changed = with_command(image, Opcode.LOAD, space=1, memory=image.writable)
    refused(changed, f"memory must be inside 0x0 to {image.writable:#x}")


def test_what_programs_write_is_apart(image):
    """Commands, weights and inputs lie below the writable part; results and what crosses between programs lie in it."""
    assert image.writable % 64 == 0
    ends = [step.program + COMMAND_BYTES * step.commands for step in image.steps if step.program is not None]
    assert max(ends) == image.writable
    assert all(tensor.offset + tensor.size <= image.writable for tensor in image.inputs)
    assert not image.memory[image.writable:].any()
    by_host = {tensor.index for tensor in image.scratch} - {tensor.index for tensor in image.outputs}
    assert any(tensor.offset >= image.writable for tensor in image.outputs)
    assert any(tensor.offset >= image.writable for tensor in image.scratch if tensor.index in by_host)


def test_an_image_of_format_1(image):
    data = image.serialize()
    with pytest.raises(ImageError, match="^old has format version 1, this program reads version 2$"):
        Image.parse(data[:8] + bytes([1]) + data[9:], origin="old")


def test_unknown_command(image):
    memory = image.memory.copy()
    memory[image.steps[0].program] = 9
    refused(replace(image, memory=memory), "command 0: Opcode must be one of")


@pytest.mark.parametrize(("unit", "opcode", "name", "fields"), [
    ("residual_add", Opcode.VECTOR, "operand_scale", {"operand_scale": 1, "source": 1}),
    ("softmax", Opcode.PARAMS, "softmax", {"softmax": 1}),
    ("depthwise_streams", Opcode.COMPUTE, "column_mode", {"column_mode": 1}),
])
def test_units_that_the_configuration_leaves_out(image, unit, opcode, name, fields):
    changed = with_command(image, opcode, **fields)
    plain = replace(TINY, residual_add=False, softmax=False, depthwise_streams=0)
    refused(replace(changed, config=plain), f"{name} must be 0 in a configuration without {unit}")


def test_activation_source_without_pooling(image):
    changed = with_command(image, Opcode.VECTOR, source=1)
    plain = replace(TINY, pooling=False, residual_add=False, softmax=False)
    refused(replace(changed, config=plain), "source must be 0 in a configuration without pooling")
