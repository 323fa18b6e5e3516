"""Does danas work on this machine? One check a line (docs/doctor.md)."""
