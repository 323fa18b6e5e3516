"""Weights of another danas network as the start of a training (docs/transfer.md)."""
