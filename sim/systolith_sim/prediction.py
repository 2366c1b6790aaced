"""Predicted cycles of an image as it will run from memory."""

from systolith_compiler.image import Image
from systolith_golden.cycles import CyclePrediction, predict

__all__ = ["predict_image"]


def predict_image(image: Image, memory_latency: int = 20) -> list[CyclePrediction]:
    """The prediction of each program of an image, with the placement of its commands and WRITABLE as the host sets it."""
    memory = image.memory.tobytes()
    return [predict(image.config, image.commands(step), memory_latency, program_offset=step.program,
                    program_limit=image.writable, memory=memory)
            for step in image.steps if step.program is not None]
