"""Accuracy for a cost: the best cell at a budget, comparison at equal FLOPs, Pareto front."""
