"""Networks, model files, prediction and training. torch lives only here."""
