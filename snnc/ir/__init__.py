"""Graphs, operations, signal types, shapes, the text form and graph files."""

from snnc.ir.graph import Edge, Graph
from snnc.ir.ops import (
    OPS,
    Array,
    Conv,
    Delay,
    Flatten,
    Input,
    IntNeuron,
    Linear,
    Neuron,
    Node,
    Output,
    Pool,
    Scale,
)
from snnc.ir.signals import Kind, Rate, Signal

__all__ = [
    "OPS",
    "Array",
    "Conv",
    "Delay",
    "Edge",
    "Flatten",
    "Graph",
    "Input",
    "IntNeuron",
    "Kind",
    "Linear",
    "Neuron",
    "Node",
    "Output",
    "Pool",
    "Rate",
    "Scale",
    "Signal",
]
