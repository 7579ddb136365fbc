"""Which weights are pruned, how many, and when: plans, ramps, scores, allocations, masks, and their cost."""
