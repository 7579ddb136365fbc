"""Structure of the sparse networks: density by layer, masks over training, overlap of masks."""
