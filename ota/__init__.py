"""Update format and verifier; imports nothing of the firmware. Empty until updates are built."""
