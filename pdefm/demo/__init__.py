"""The page in the browser: a solver and a model side by side."""
