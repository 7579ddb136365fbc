"""Data sets that the Hugging Face library `datasets` reads, from its hub or from files."""
