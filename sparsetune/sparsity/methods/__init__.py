"""Pruning methods: when the mask changes, by how much, and whether training is long enough."""
