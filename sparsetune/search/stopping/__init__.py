"""Early stopping of configurations: what rungs compare, and whom they stop."""
