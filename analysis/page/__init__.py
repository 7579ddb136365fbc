"""The pieces of the report's page: what stands on it, in which words, and how a drawn figure becomes interactive."""
