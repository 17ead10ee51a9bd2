"""Models as data: cards, catalogue, selection, compatibility, normalisation, verification and advice."""
