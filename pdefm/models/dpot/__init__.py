"""DPOT: configuration, model, and conversion of the published weights."""
