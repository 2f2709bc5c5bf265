"""Hides people in what was recorded: pictures, clips and folders of them."""
