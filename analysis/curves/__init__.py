"""Curves against sparsity, training length and cost, with their figures."""
