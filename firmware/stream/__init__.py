"""What leaves the device: the HTTP server, WHEP sessions, packet fan-out and the pages."""
