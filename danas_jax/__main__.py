"""`python -m danas_jax` is `danas`."""

import sys

from danas_jax.cli import main

sys.exit(main())
