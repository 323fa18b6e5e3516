"""Trained networks in files, and what they say about every example."""
