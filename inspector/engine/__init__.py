"""Exported graph and images to feature distances, whatever runs them."""

from inspector.engine.detector import Detector, open_detector, verify_golden
from inspector.engine.network import Network, OnnxRuntimeNetwork, load_network

__all__ = [
    "Detector",
    "Network",
    "OnnxRuntimeNetwork",
    "load_network",
    "open_detector",
    "verify_golden",
]
