"""Loihi 1 and 2 through Lava."""
