"""Exported graph and images to feature distances, whatever runs them."""

from inspector.engine.choice import Choice, How, choose_detector
from inspector.engine.detector import Compared, Detector, open_detector, verify_again, verify_golden
from inspector.engine.loading import load_network
from inspector.engine.network import Backend, Network
from inspector.engine.pool import NetworkPool

__all__ = [
    "Backend",
    "Choice",
    "Compared",
    "Detector",
    "How",
    "Network",
    "NetworkPool",
    "choose_detector",
    "load_network",
    "open_detector",
    "verify_again",
    "verify_golden",
]
