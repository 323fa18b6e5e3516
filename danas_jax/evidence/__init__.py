"""What makes the search believable on one's own data: how well the supernet ranks, and what joint search gains."""
