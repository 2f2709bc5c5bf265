"""The interface for programs, `/api/v1`: what the pages and the command line do, they do by it."""
