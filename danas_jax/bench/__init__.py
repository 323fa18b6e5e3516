"""`danas bench`: how fast this machine trains, evaluates, costs and searches a space (docs/bench.md)."""
