"""Ramps: where they should start and end, and which ones a scheduler would have kept."""
