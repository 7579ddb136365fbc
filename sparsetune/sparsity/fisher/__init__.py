"""The block-diagonal empirical Fisher, and the pieces of it that fit into memory."""
