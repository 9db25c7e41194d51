"""Inline inspection of reusable cups: camera frame to reject gate, part by part."""
