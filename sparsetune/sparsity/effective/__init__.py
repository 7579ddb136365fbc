"""Effective weights: what the forward pass sees instead of those that the optimizer moves."""
