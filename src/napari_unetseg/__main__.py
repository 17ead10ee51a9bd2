"""``python -m napari_unetseg`` is ``napari-unetseg``."""

from napari_unetseg.cli import main

main()
