"""Fields of declarations in words, for ``help()``, the documentation and ``sparsetune fields``."""
