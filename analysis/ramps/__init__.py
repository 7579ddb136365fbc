"""Where the sparsity ramp should start and end, and which ramps a scheduler would have kept."""
