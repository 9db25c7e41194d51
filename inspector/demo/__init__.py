"""The demo: the whole simulated plant and the line in one command, and what came of it."""

from inspector.demo.plant import RECIPE, DemoOptions, run_demo

__all__ = ["RECIPE", "DemoOptions", "run_demo"]
