"""Curves against sparsity, length and cost, with their figures."""
