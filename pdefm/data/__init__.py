"""How bytes and equations become trajectories, windows and batches."""
