"""Where models are found, described and published."""
