"""The executors that define what a graph means: float64 for S1, int64 for S2."""

from snnc.reference.float64 import run_float
from snnc.reference.int64 import run_int
from snnc.reference.trace import Inputs, Ports, Trace

__all__ = ["Inputs", "Ports", "Trace", "run_float", "run_int"]
