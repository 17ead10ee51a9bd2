"""Kinds of inputs: what is mutated, and the door that it is fed to."""
