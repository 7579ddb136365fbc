"""The account of a network's parameters: what is pruned, what stays dense, and why."""
