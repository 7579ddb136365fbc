"""Image tasks: data sets, augmentation, and batches held on the device or read from files."""
