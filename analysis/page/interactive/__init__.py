"""Interactive figures, read from the drawn ones."""
