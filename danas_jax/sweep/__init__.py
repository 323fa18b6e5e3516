"""Many runs of one config: what its `sweep()` is made of, the jobs that follow, and their results in one table."""

from danas_jax.sweep.fields import product, sample, zipped

__all__ = ["product", "sample", "zipped"]
