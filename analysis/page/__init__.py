"""Pieces of the report's page: its sections, sentences, tables and figures."""
