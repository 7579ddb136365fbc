"""What a reader of the page sees before opening More: the first screen, notes, the glossary."""
