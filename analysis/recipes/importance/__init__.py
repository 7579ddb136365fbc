"""Importance of hyperparameters in each band of sparsity."""
