"""Finds where every neuron lies: slices, which share a core, and where cores lie on the mesh."""
