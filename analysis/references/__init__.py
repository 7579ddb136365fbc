"""Published results with their sources, and a curve with such points laid over it."""
