"""Decoders of model outputs: what a network's numbers mean, independent of the runtime that made them."""
