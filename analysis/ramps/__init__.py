"""Where the sparsity ramp starts and ends: what each ramp reached, and what a scheduler would have kept of them."""
