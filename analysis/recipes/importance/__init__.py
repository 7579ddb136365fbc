"""Which hyperparameters matter, in each band of sparsity."""
