"""Replays over recorded studies: of stopping rules on a clock, and of whole searches."""
