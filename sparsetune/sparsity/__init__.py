"""Sparsity: which weights are pruned, how many, and when; and what a masked network costs."""
