"""Masks: allocation among layers, exact selection, patterns, and the choice of the next mask."""
