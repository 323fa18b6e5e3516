"""Data configurations: what a network may be shown, and how it is computed (base.py says how it fits together)."""
