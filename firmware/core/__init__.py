"""Pure values and arithmetic of the pipeline: no input, no output, no clock."""
