"""Rules between the fields of a study."""
