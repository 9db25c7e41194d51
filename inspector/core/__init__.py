"""Plain values and pure rules: parts, frames, verdicts and their reasons. Imports nothing of the house."""
