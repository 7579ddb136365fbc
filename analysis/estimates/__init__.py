"""Means with intervals, paired differences, and the surface fitted to a search."""
