"""Sparse training in anybody's loop: plain PyTorch, the Trainer of transformers, Lightning.

Here the loop is the user's, and this package changes the mask around each step of the optimizer. A
whole trial with data, evaluations and checkpoints is `sparsetune.train.train`.
"""
