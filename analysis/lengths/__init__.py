"""Length of training: gain of longer training, verdicts on cells, epochs that a sparsity needs."""
