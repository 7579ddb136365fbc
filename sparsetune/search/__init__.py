"""Search within each cell: planner, proposals, sampling, stopping and replay. Imports no Ray."""
