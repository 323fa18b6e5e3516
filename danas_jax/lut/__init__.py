"""`danas lut`: latency tables measured on this machine, imported from others, and checked (docs/lut.md)."""
