"""``python -m inspector`` is the ``inspector`` command."""

from inspector.cli import app

if __name__ == "__main__":
    app()
