"""Gain of tuning in each cell, and the share of a search's best value that is luck."""
