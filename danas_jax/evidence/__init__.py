"""What makes the search believable on one's own data: how well the supernet ranks, and what joint search gains."""

# rows of a comparison; the others are data
JOINT, RANDOM, NO_SUPERNET, REFERENCES = "data-aware", "random", "no supernet", "references"
