"""The verbs as commands; `main` is what ``napari-unetseg`` runs."""

from napari_unetseg.cli.app import main

__all__ = ["main"]
