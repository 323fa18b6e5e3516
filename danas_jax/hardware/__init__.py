"""What a network costs on a microcontroller: memory, flash, MACs, latency. Pure Python and NumPy."""
