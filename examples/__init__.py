"""Trained models and the scripts that made them."""
