"""The `veilcam` command line: one module per verb."""
