"""CenterFace: faces as points of a heat map (Xu et al., 2019, "Joint Face Detection and Alignment")."""

import numpy as np

from firmware.core.frames import Kind, Plane
from firmware.core.heads.found import Found, Outputs, Tensor, Thresholds, planar

STRIDE = 4
MAX_OVERLAP = 0.3


class CenterFace:
    """Input (1, 3, h, w): RGB, 0 to 255; maps of h/4 x w/4: `537` heat, `538` log size, `539` offset."""

    def preprocess(self, bgr: Plane) -> Tensor:
        """Turn a BGR picture (h, w, 3) into the network's input."""
        return planar(bgr[:, :, ::-1])

    def decode(self, outputs: Outputs, width: int, height: int, thresholds: Thresholds) -> dict[Kind, Found]:
        """Read the outputs; height comes before width and y before x in them."""
        threshold = thresholds[Kind.FACE]
        heat = outputs["537"][0, 0]
        rows, columns = np.nonzero(heat >= threshold)
        h, w = np.exp(np.minimum(outputs["538"][0][:, rows, columns], 10)) * STRIDE
        dy, dx = outputs["539"][0][:, rows, columns]
        x = (columns + dx + 0.5) * STRIDE - w / 2
        y = (rows + dy + 0.5) * STRIDE - h / 2
        boxes = np.stack([x, y, w, h], 1).astype(np.float32)
        return {Kind.FACE: Found(boxes, heat[rows, columns]).distinct(MAX_OVERLAP)}
