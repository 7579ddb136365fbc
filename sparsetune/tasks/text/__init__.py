"""Text tasks: sentences, tokens, encoders, and the tasks of GLUE."""
