"""Firmware of a privacy camera: people are hidden before any picture leaves the device."""

import os
import sys

SILENCE = "ORT_DISABLE_TELEMETRY"
"""Keeps onnxruntime 1.29 and later from calling its maker's collector and writing an identifier to HOME."""

# onnxruntime reads this once, while it is imported, so it must stand before any module of ours is; another
# value in the environment would let a camera call a stranger, so it is not asked for.
if sys.modules.get("onnxruntime") and os.environ.get(SILENCE) != "1":
    raise ImportError(
        "onnxruntime was imported before firmware and may have called its maker's collector already; "
        f"import firmware first, or set {SILENCE}=1"
    )
os.environ[SILENCE] = "1"
