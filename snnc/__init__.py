"""snnc: trained PyTorch spiking networks on neuromorphic hardware, spike for spike."""

__version__ = "0.1.0"
