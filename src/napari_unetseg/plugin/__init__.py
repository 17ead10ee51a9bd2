"""The napari plugin: layers to volumes and back, the worker bridge, one room a widget."""
