"""Tasks: data sets, networks, losses and metrics, for images and for texts.

`kinds` starts from a task's declaration; `task` has what every kind offers; `network` and `models`
build networks; `weights`, `model_folder` and `data_roots` find files.
"""
