"""Costs of trials and studies: FLOPs, time, memory and bytes, forecast, measured and limited.

FLOPs, from declarations alone:

- `training_flops`: FLOPs of a trial's training.
- `magnitudes`: densities of layers under one threshold, which those FLOPs depend on.
- `equal_flops`: length at which a sparse trial costs as many FLOPs as its dense twin.
- `configurations`: costs of a study's configurations against its budget.
- `layer_table`: sparsity and FLOPs of every layer of a model, as a table.

Time and memory:

- `timing`: seconds and bytes of a trial, measured on its first steps.
- `fisher_cost`: seconds and bytes of the Fisher information, measured on a few gradients.
- `forecast`: epochs, seconds and bytes that a study still needs, from those measurements.
- `pace`: epochs per hour of a running study.
- `device_memory`: memory that a trial takes of its device, measured in its worker.
- `memory`: peak memory of finished trials, by model and batch size.

Limits of a launch:

- `limits`: time and storage that a study may take.
"""
