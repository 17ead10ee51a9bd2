"""Input and output: sources, selections, files written whole or not at all, and the plan of outputs."""
