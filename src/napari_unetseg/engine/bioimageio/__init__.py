"""Packages of the BioImage Model Zoo, written, checked and taken back."""
