"""Joint search over data configurations and tiny networks, from photographs to an int8 model on the board."""

__version__ = "0.1.0"
