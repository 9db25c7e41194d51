"""``inspector run`` as the demo starts it: it ends when the demo does, however that ends."""

import runpy

from inspector.core.process import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    runpy.run_module("inspector", run_name="__main__")
