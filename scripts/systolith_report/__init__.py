"""Reports of runs and syntheses: one HTML page without outside parts, and its Markdown twin with figures beside it."""
