"""The timing engine: the same machine in numpy, over whole batches of steps."""
