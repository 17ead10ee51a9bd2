"""Faults on purpose: mutated inputs, and kills in the middle of writing; see CONTRIBUTING.md."""
