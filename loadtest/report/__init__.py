"""What a run measured: its model, its file, and the ways to look at it."""
