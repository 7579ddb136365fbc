"""The block-diagonal empirical Fisher, and the pieces that fit into memory."""
