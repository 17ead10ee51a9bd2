"""DICOM: files, folders and segmentations, from headers to images."""
