"""Learning from corrections: anchors of pixel classifiers, and how a U-Net is held to what it knew."""
