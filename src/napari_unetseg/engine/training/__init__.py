"""Training: loop, losses, augmentation, patches, checkpoints and distillation."""
