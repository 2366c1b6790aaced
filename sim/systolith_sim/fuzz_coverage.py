"""One coverage-guided run of a fuzz target: `python -m systolith_sim.fuzz_coverage TARGET RUNS SEED SHARE FOLDER`.

A process of its own, since libFuzzer never returns. The folder receives `result.json`, and the input of a failure.
"""

import json
import resource
import sys
import time
import warnings
import zlib
from collections import Counter
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["systolith_compiler", "tflite", "flatbuffers", "json"], enable_loader_override=False):
    from systolith_sim.fuzzing import TARGETS, ImageTarget, TfliteTarget, seal

_LONGEST = 1 << 16  # bytes of an input


def main() -> None:
    """Run until so many inputs were handled, or one failed."""
    name, runs, seed, share, folder = sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5])
    warnings.simplefilter("error")
    target = TARGETS[name](share)
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.corpus()):
        if len(data) <= _LONGEST:
            (corpus / f"good_{number}").write_bytes(data)
    outcomes: Counter[str] = Counter()
    slowest = 0.0

    def handle(data: bytes) -> None:
        nonlocal slowest
        start = time.perf_counter()
        outcomes[target(data)] += 1
        slowest = max(slowest, time.perf_counter() - start)
        if outcomes.total() in (runs, runs // 2):
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            (folder / "result.json").write_text(json.dumps(
                {"outcomes": outcomes, "slowest": slowest, "memory": memory, "corpus": len(list(corpus.iterdir()))}))

    atheris.Setup(
        [sys.argv[0], str(corpus), f"-runs={runs}", f"-seed={seed}", f"-max_len={_LONGEST}", "-timeout=60",
         "-rss_limit_mb=4096", f"-artifact_prefix={folder}/", "-verbosity=0"],
        handle, custom_mutator=lambda data, size, seed: _mutate(target, data, size, seed))
    atheris.Fuzz()


def _mutate(target: ImageTarget | TfliteTarget, data: bytes, size: int, seed: int) -> bytes:
    """A structured mutation where the input can be read, else libFuzzer's; checksums are made right most of the time."""
    rng = np.random.default_rng([seed, zlib.crc32(data)])
    if rng.random() < 0.5:
        try:
            changed = target.mutate(data, rng)
            if len(changed) <= size:
                return changed
        except Exception:  # an input that cannot be read has no structure to change
            pass
    changed = atheris.Mutate(data, min(size, len(data) + 64))
    return seal(changed) if rng.random() < 0.8 else changed


if __name__ == "__main__":
    main()
