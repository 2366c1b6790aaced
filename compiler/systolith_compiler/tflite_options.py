"""Which option fields each TFLite operator has, under which names, with which defaults.

One declarative table serves the reader and the test-side writer. The names in the file follow the schema
(`DilationHFactor`), ours are short snake_case (`dilation_h`).
"""

from typing import Any, NamedTuple

from tflite import ActivationFunctionType, Padding

__all__ = ["ACTIVATIONS", "KIND_TO_TABLE", "OPTION_TABLES", "PADDINGS", "OptionField", "default_options"]


class OptionField(NamedTuple):
    """One field of an option table.

    Attributes
    ----------
    accessor : str
        Name in the schema, CamelCase.
    name : str
        Key in `Operator.options`.
    form : str
        "int", "bool", "float", "ints" (a vector), "activation" or "padding".
    default : object
        Value when the file does not hold the field.
    """

    accessor: str
    name: str
    form: str
    default: Any


def _names(enumeration) -> dict[int, str]:
    return {code: name for name, code in vars(enumeration).items() if not name.startswith("_")}


ACTIVATIONS = _names(ActivationFunctionType)  # {0: "NONE", 1: "RELU", ...}
PADDINGS = _names(Padding)  # {0: "SAME", 1: "VALID"}

_ACTIVATION = OptionField("FusedActivationFunction", "activation", "activation", "NONE")
_PADDING = OptionField("Padding", "padding", "padding", "SAME")
_STRIDES = (OptionField("StrideH", "stride_h", "int", 0), OptionField("StrideW", "stride_w", "int", 0))
_DILATIONS = (
    OptionField("DilationHFactor", "dilation_h", "int", 1),
    OptionField("DilationWFactor", "dilation_w", "int", 1),
)
_FILTERS = (
    OptionField("FilterHeight", "filter_h", "int", 0),
    OptionField("FilterWidth", "filter_w", "int", 0),
)
_AXIS = OptionField("Axis", "axis", "int", 0)
_RESIZE = (
    OptionField("AlignCorners", "align_corners", "bool", False),
    OptionField("HalfPixelCenters", "half_pixel_centers", "bool", False),
)

OPTION_TABLES: dict[str, tuple[OptionField, ...]] = {
    "Conv2DOptions": (_PADDING, *_STRIDES, *_DILATIONS, _ACTIVATION),
    "DepthwiseConv2DOptions": (
        _PADDING,
        *_STRIDES,
        *_DILATIONS,
        OptionField("DepthMultiplier", "depth_multiplier", "int", 0),
        _ACTIVATION,
    ),
    "TransposeConvOptions": (_PADDING, *_STRIDES, _ACTIVATION),
    "FullyConnectedOptions": (
        _ACTIVATION,
        OptionField("KeepNumDims", "keep_num_dims", "bool", False),
        OptionField("WeightsFormat", "weights_format", "int", 0),
    ),
    "Pool2DOptions": (_PADDING, *_STRIDES, *_FILTERS, _ACTIVATION),
    "AddOptions": (_ACTIVATION,),
    "SubOptions": (_ACTIVATION,),
    "MulOptions": (_ACTIVATION,),
    "DivOptions": (_ACTIVATION,),
    "L2NormOptions": (_ACTIVATION,),
    "SquaredDifferenceOptions": (),
    "MaximumMinimumOptions": (),
    "ConcatenationOptions": (_AXIS, _ACTIVATION),
    "ReshapeOptions": (OptionField("NewShape", "new_shape", "ints", ()),),
    "SqueezeOptions": (OptionField("SqueezeDims", "squeeze_dims", "ints", ()),),
    "ExpandDimsOptions": (),
    "TransposeOptions": (),
    "PadOptions": (),
    "PadV2Options": (),
    "SpaceToBatchNDOptions": (),
    "BatchToSpaceNDOptions": (),
    "ReducerOptions": (OptionField("KeepDims", "keep_dims", "bool", False),),
    "SoftmaxOptions": (OptionField("Beta", "beta", "float", 0.0),),
    "QuantizeOptions": (),
    "DequantizeOptions": (),
    "LeakyReluOptions": (OptionField("Alpha", "alpha", "float", 0.0),),
    "HardSwishOptions": (),
    "GatherOptions": (_AXIS, OptionField("BatchDims", "batch_dims", "int", 0)),
    "PackOptions": (OptionField("ValuesCount", "values_count", "int", 0), _AXIS),
    "UnpackOptions": (OptionField("Num", "num", "int", 0), _AXIS),
    "SplitOptions": (OptionField("NumSplits", "num_splits", "int", 0),),
    "SplitVOptions": (OptionField("NumSplits", "num_splits", "int", 0),),
    "ShapeOptions": (),
    "SliceOptions": (),
    "StridedSliceOptions": (
        OptionField("BeginMask", "begin_mask", "int", 0),
        OptionField("EndMask", "end_mask", "int", 0),
        OptionField("EllipsisMask", "ellipsis_mask", "int", 0),
        OptionField("NewAxisMask", "new_axis_mask", "int", 0),
        OptionField("ShrinkAxisMask", "shrink_axis_mask", "int", 0),
        OptionField("Offset", "offset", "bool", False),
    ),
    "ResizeBilinearOptions": _RESIZE,
    "ResizeNearestNeighborOptions": _RESIZE,
    "BatchMatMulOptions": (
        OptionField("AdjX", "adj_x", "bool", False),
        OptionField("AdjY", "adj_y", "bool", False),
    ),
}

# Operators whose option table may be missing from the file, or is needed by name for writing.
KIND_TO_TABLE: dict[str, str] = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "DIV": "DivOptions",
    "SQUARED_DIFFERENCE": "SquaredDifferenceOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "CONCATENATION": "ConcatenationOptions",
    "RESHAPE": "ReshapeOptions",
    "SQUEEZE": "SqueezeOptions",
    "EXPAND_DIMS": "ExpandDimsOptions",
    "TRANSPOSE": "TransposeOptions",
    "PAD": "PadOptions",
    "PADV2": "PadV2Options",
    "SPACE_TO_BATCH_ND": "SpaceToBatchNDOptions",
    "BATCH_TO_SPACE_ND": "BatchToSpaceNDOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "SOFTMAX": "SoftmaxOptions",
    "QUANTIZE": "QuantizeOptions",
    "DEQUANTIZE": "DequantizeOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "HARD_SWISH": "HardSwishOptions",
    "GATHER": "GatherOptions",
    "PACK": "PackOptions",
    "UNPACK": "UnpackOptions",
    "SPLIT": "SplitOptions",
    "SPLIT_V": "SplitVOptions",
    "SHAPE": "ShapeOptions",
    "SLICE": "SliceOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
}


def default_options(kind: str) -> dict[str, Any]:
    """Options of an operator kind as the schema defaults them; empty for kinds without a table."""
    return {field.name: field.default for field in OPTION_TABLES.get(KIND_TO_TABLE.get(kind, ""), ())}
