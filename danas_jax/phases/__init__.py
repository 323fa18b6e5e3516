"""The steps of a run that take long; pipeline.py puts them in order."""
