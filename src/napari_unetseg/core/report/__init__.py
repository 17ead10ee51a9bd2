"""Reports: a result on one page from which it can be made again, overlays and meshes."""
