"""Points of the search space: sequences that all cells share, and suggestions that adapt."""
