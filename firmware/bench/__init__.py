"""Measurements on this machine: `veilcam bench`."""
