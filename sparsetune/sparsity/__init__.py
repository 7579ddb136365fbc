"""Which weights are pruned, how many, and when: methods, scores, allocations, masks, their cost."""
