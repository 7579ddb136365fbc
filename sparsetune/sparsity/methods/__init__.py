"""Pruning methods, one object in each file. Declarations are read with them: none needs torch."""
