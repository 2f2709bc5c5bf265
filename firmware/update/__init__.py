"""Installs updates: two records that a power cut cannot both take, slots, and one way from bundle to version.

IDLE ─install─▶ WRITTEN ─▶ ARMED ─boot─▶ TRIAL ─healthy─▶ CONFIRMED ─▶ IDLE
                                           ╰─not─▶ ROLLED_BACK (the release is quarantined) ─▶ IDLE
"""
