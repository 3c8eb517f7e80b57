"""Circuits that turn pixels into spikes and back."""
