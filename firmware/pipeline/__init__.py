"""Life of a frame: capture, detect, track, hold, mask, encode; `flow` reads as the diagram."""
