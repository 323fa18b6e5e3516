"""Firmware projects of an exported network: preprocessing, network and main loop for a board (docs/firmware.md)."""
