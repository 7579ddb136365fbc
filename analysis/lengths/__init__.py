"""How long to train: what longer training gains, a verdict on every cell, the epochs that each sparsity needs."""
