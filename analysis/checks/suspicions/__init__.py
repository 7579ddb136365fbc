"""Checks of tables for what people do to them by mistake: columns swapped, runs copied or lost."""
