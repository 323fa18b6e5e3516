"""Shipped configurations: `danas run NAME` runs NAME.py of this folder (installed as `danas_jax.configs`)."""
