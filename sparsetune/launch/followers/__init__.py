"""Followers of a running study: they read its records and write no part of its results."""
