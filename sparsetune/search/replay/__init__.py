"""Replays of stopping rules over recorded studies."""
