"""Followers of a running study: they are told what it records, and change none of its numbers."""
