"""Studies that ``sparsetune init`` writes. Each runs as it is, under the name ``my_study``."""
