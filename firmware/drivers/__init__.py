"""Back-ends bound by a board file: cameras, detectors, encoders; `registry` is their closed table."""
