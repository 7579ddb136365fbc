"""A user's own code by digest: which modules it is, and what each does."""
