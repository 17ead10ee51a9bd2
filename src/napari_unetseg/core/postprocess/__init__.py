"""Post-processing: labels from probabilities, instances, clean-up steps and the shape prior."""
