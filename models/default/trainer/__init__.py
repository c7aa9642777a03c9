"""Training, calibration, export and evaluation of emofleet's default emotion model."""
