"""Measuring instruments for the exporter's README; not needed to export."""
