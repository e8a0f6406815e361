"""Models, the processor that is saved with them, and how both are loaded."""
