"""Where the best hyperparameters lie, how they move, and whether the range ends too early."""
