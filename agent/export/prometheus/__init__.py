"""Prometheus: how things stand, for whoever asks by HTTP; off unless asked for."""
