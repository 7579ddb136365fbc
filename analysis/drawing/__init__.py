"""Parts that every figure is made of: axes, marks, style, files."""
