"""Tables of trials, evaluations and cells, from a ledger or from a table of runs."""
