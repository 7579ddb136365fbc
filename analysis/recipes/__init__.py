"""How the best hyperparameters move with sparsity and length, which of them matter, and where the range ends."""
