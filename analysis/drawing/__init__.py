"""Figures: what every figure is made of, and the curves; the other analyses draw their own beside their numbers."""
