"""What to spend: the best cell at a budget, comparison at equal FLOPs, and the Pareto front."""
