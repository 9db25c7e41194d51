"""Renders the twin's light anew; for developers of the twin only (``pip install -e '.[bake]'``).

What comes out is committed under ``inspector/twin/cups/light``; running the twin never needs this.
"""
