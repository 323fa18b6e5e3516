"""What makes the search believable on one's own data: how well the supernet ranks, and what joint search gains."""

JOINT, RANDOM, NO_SUPERNET = "data-aware", "random", "no supernet"  # rows of a comparison; the others are data
