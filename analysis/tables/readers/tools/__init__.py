"""What tools of hyperparameter search and tracking leave behind, a file per tool.

Everything is read as data. Nothing is unpickled, and nothing is written beside the files.
"""
