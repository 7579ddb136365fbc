"""Tasks of a user's own: their data, network, loss and metrics, imported by path."""
