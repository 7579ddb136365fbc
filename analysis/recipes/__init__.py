"""The best hyperparameters: where they lie, which of them matter, and what tuning them gained."""
