"""Plans of mask changes: a change, ramps, exchanges of weights, and rules on their length."""
