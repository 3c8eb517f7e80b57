"""Backends: one folder per target; found through the entry-point group `snnc.targets`."""
