"""A result on one page that holds everything, and from which it can be made again."""

from napari_unetseg.core.report.page import html_of, save_report
from napari_unetseg.core.report.record import Report, record_of

__all__ = ["Report", "html_of", "record_of", "save_report"]
