"""What goes into each network and how its outputs are read: pure arithmetic, whatever runtime runs it."""
