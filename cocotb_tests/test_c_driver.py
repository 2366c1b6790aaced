"""The C driver, compiled and run against the accelerator's registers and memory."""

import base64
import ctypes
import json
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from systolith.accelerator import Accelerator
from systolith.command_processor import register_constants
from systolith_compiler.compiler import compile_graph
from systolith_golden.interpreter import run_outputs
from systolith_sim.c_driver import CDriver, DriverError, Platform, build_driver
from systolith_sim.cocotb_run import run
from systolith_sim.random_networks import NetworkBuilder, random_inputs
from systolith_spec.presets import preset
from systolith_spec.registers import register

TINY = preset("tiny-4x4")
ROOM = 1 << 16
NOTHING = base64.b64encode(zlib.compress(bytes(64))).decode()
"""Initial memory, as the bench of the accelerator takes it."""


def network():
    """A convolution and a fully connected layer."""
    net = NetworkBuilder(3, (1, 5, 5, 3))
    net.conv(6, kernel=(3, 3), padding="SAME")
    net.reshape((1, 150))
    net.fully_connected(10)
    return net.graph()


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Folder with the driver, an image, an input and its output; and the image."""
    folder = tmp_path_factory.mktemp("driver")
    build_driver(folder)
    graph = network()
    image = compile_graph(graph, TINY)
    image.save(folder / "image")
    (sample,) = random_inputs(graph, 7)
    np.savez(folder / "case.npz", input=sample, output=run_outputs(graph, [sample])[0])
    return folder, image


def simulate(case, simulator, test, *, interrupt, waves=None):
    folder, image = case
    results = run(Accelerator(config=TINY), top="systolith", test_module="c_driver_tb", simulator=simulator, waves=waves,
                  test_filter=test, optimise="0", arguments={
                      "folder": str(folder), "memory": NOTHING, "base": 0x1000, "stall": 0.0, "room": ROOM,
                      "interrupt": interrupt})
    return results.records[0], image


@pytest.mark.parametrize("interrupt", [True, False], ids=["interrupt", "polling"])
def test_driver_runs_an_image(case, interrupt, simulator, waves):
    result, image = simulate(case, simulator, "driver_runs_an_image", interrupt=interrupt, waves=waves)
    assert [tuple(step) for step in result["steps"]] == [(False, step.program) for step in image.steps]
    assert tuple(result["output"]) == (image.outputs[0].offset, image.outputs[0].size)
    assert result["range"] == [0x1000, image.memory.size, image.writable]
    assert result["counters"]["CYCLES"] > result["counters"]["COMPUTE_BUSY"] > 0
    assert result["counters"]["COMMANDS"] == image.steps[-1].commands - 1  # END is not dispatched


def test_driver_reports_errors(case, simulator, waves):
    result, _ = simulate(case, simulator, "driver_reports_errors", interrupt=True, waves=waves)
    assert result["error"]["code"] == 3


def registers_only(folder, config=TINY, **changed):
    """The driver on registers that only hold values: enough to open devices and images."""
    values = {register(name).offset: value for name, value in {**register_constants(config), **changed}.items()}
    return CDriver(folder / "systolith.so", Platform(
        read=lambda offset: values.get(offset, 0), write=values.__setitem__, wait=None,
        clean=lambda offset, size: None, invalidate=lambda offset, size: None), (ctypes.c_uint8 * ROOM)())


def test_devices_that_are_refused(case):
    folder, _ = case
    registers_only(folder).open(0)
    with pytest.raises(DriverError, match=r"^NO_DEVICE$"):
        registers_only(folder, ID=1).open(0)
    with pytest.raises(DriverError, match=r"^WRONG_VERSION$"):
        registers_only(folder, VERSION=1).open(0)


@pytest.mark.parametrize("field", ["rows", "cols", "activation_bytes", "activation_banks", "weight_bytes", "parameter_bytes",
                                   "accumulator_depth", "vector_lanes", "parameter_groups", "axi_data_width",
                                   "depthwise_streams", "softmax"])
def test_images_of_other_configurations_are_refused(case, field):
    folder, image = case
    value = getattr(TINY, field)
    step = {"softmax": -1, "depthwise_streams": 1, "vector_lanes": 2, "rows": 1, "cols": 2}.get(field, value)
    other = replace(TINY, **{field: value + step if field != "softmax" else False})
    driver = registers_only(folder, other)
    driver.open(0)
    driver.open_image((folder / "image").read_bytes())
    with pytest.raises(DriverError, match=r"^WRONG_CONFIGURATION$"):
        driver.load(0)
    same = registers_only(folder)
    same.open(0)
    same.open_image((folder / "image").read_bytes())
    same.load(0)


def test_damaged_files_are_refused(case):
    folder, _ = case
    data = (folder / "image").read_bytes()
    driver = registers_only(folder)
    for size in (0, 8, 19):
        with pytest.raises(DriverError, match=r"^NO_IMAGE$"):
            driver.open_image(data[:size])
    with pytest.raises(DriverError, match=r"^NO_IMAGE$"):
        driver.open_image(b"systolth" + data[8:])
    rng = np.random.default_rng(1)
    for position in rng.integers(12, len(data), 50):
        broken = bytearray(data)
        broken[position] ^= 1 << rng.integers(8)
        with pytest.raises(DriverError, match=r"^DAMAGED_IMAGE$"):
            driver.open_image(bytes(broken))


def rewritten(data, header):
    """An image file with another header and a matching checksum."""
    length = struct.unpack_from("<I", data, 12)[0]
    body = header + data[20 + length:]
    return data[:12] + struct.pack("<II", len(header), zlib.crc32(body)) + body


def test_headers_are_read_as_json_is(case):
    folder, image = case
    data = (folder / "image").read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    header = json.loads(data[20:20 + length])
    odd = {"x": ['"', "\\", "}]", {"steps": [{"program": 7}]}, [[], {}], -1.5e3, None, True], **header}
    odd["inputs"][0]["name"] = 'a "name", [with] {everything}: \\'
    driver = registers_only(folder)
    wanted = [(False, step.program) for step in image.steps]
    for indent in (None, 3):
        driver.open_image(rewritten(data, json.dumps(odd, indent=indent).encode()))
        assert driver.steps() == wanted
        assert driver.tensor("inputs", 0) == (image.inputs[0].offset, image.inputs[0].size)
        with pytest.raises(DriverError, match=r"^NOT_FOUND$"):
            driver.tensor("inputs", len(image.inputs))
    odd["steps"].insert(0, {"program": None, "commands": 0, "operator": 12})
    odd["outputs"][0]["offset"] = image.memory.size
    driver.open_image(rewritten(data, json.dumps(odd).encode()))
    assert driver.steps() == [(True, 12), *wanted]
    with pytest.raises(DriverError, match=r"^DAMAGED_IMAGE$"):
        driver.tensor("outputs", 0)
    driver.open(0)
    driver.load(0)
    with pytest.raises(DriverError, match=r"^HOST_OPERATOR$"):
        driver.run()


@pytest.mark.parametrize("change", [{"writable": 1 << 20}, {"writable": None}, {"x": "writable"}])
def test_images_without_a_writable_part_are_refused(case, change):
    folder, _ = case
    data = (folder / "image").read_bytes()
    header = json.loads(data[20:20 + struct.unpack_from("<I", data, 12)[0]])
    if "x" in change:
        del header["writable"]
    driver = registers_only(folder)
    driver.open(0)
    driver.open_image(rewritten(data, json.dumps(header | change).encode()))
    with pytest.raises(DriverError, match=r"^DAMAGED_IMAGE$"):
        driver.load(0)


def test_broken_headers_end(case):
    """Whatever the header holds, the reader stops at its end."""
    folder, _ = case
    data = (folder / "image").read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    header = data[20:20 + length]
    driver = registers_only(folder)
    rng = np.random.default_rng(2)
    for _ in range(300):
        cut = bytearray(header[:rng.integers(len(header))])
        for position in rng.integers(0, max(len(cut), 1), 3 if len(cut) else 0):
            cut[position] = rng.choice(list(b'"{}[],:\\\0 1a'))
        driver.open_image(rewritten(data, bytes(cut)))
        for query in (driver.steps, lambda: driver.tensor("inputs", 0), lambda: driver.tensor("outputs", 0)):
            try:
                query()
            except DriverError as error:
                assert str(error) in ("NOT_FOUND", "DAMAGED_IMAGE")
