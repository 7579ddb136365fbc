"""Launch of a study: checks before the start, driver, failures, extension and followers."""
