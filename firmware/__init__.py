"""Firmware of a privacy camera: people are hidden before any picture leaves the device."""
