"""Few-shot learning: sessions, the light head, fine-tuning of a U-Net, and replay."""
