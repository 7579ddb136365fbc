"""Best hyperparameters: where they lie, how they move, and whether the range ends too early."""
