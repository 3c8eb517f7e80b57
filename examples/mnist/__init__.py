"""The MNIST network."""
