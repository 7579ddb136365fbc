"""Columns of a table: their names and ours, their units, and what they hold."""
