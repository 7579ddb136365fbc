"""Questions that a study asks: their declaration, defaults, rules and contrasts."""
