"""Studies as Ray Tune trials: the only place that imports ray or optuna."""
