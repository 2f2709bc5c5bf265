"""SSD with TensorFlow Lite's own post-processing: boxes that were suppressed already, 20 at most.

TFLite_Detection_PostProcess (tensorflow/lite/kernels/detection_postprocess.cc) gives boxes (1, n, 4) as top,
left, bottom, right, 0 to 1; classes (1, n); scores (1, n); how many count (1).
"""

import numpy as np

from firmware.core.frames import Kind, Plane
from firmware.core.heads.found import Found, Outputs, Tensor, Thresholds

POSTPROCESS = "TFLite_Detection_PostProcess"
PERSON = 0
"""Of COCO's classes as this network counts them: the background is left out."""


class Ssd:
    """Input (1, h, w, 3): RGB, 0 to 255 as it is, which the driver rounds for a quantised network."""

    def preprocess(self, bgr: Plane) -> Tensor:
        """Turn a BGR picture (h, w, 3) into the network's input."""
        return np.ascontiguousarray(bgr[None, :, :, ::-1], np.float32)

    def decode(self, outputs: Outputs, width: int, height: int, thresholds: Thresholds) -> dict[Kind, Found]:
        """Read the outputs."""
        boxes = outputs[POSTPROCESS].reshape(-1, 4)
        classes, scores = (outputs[f"{POSTPROCESS}:{n}"].reshape(-1) for n in (1, 2))
        count = int(outputs[f"{POSTPROCESS}:3"].reshape(-1)[0])
        counts = np.arange(len(scores)) < count
        kept = np.flatnonzero(counts & (np.rint(classes) == PERSON) & (scores >= thresholds[Kind.PERSON]))
        top, left, bottom, right = (boxes[kept] * [height, width, height, width]).T
        found = np.stack([left, top, right - left, bottom - top], 1).astype(np.float32)
        return {Kind.PERSON: Found(found, scores[kept].astype(np.float32))}
