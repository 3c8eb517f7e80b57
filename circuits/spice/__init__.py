"""Netlists of the converters, and ngspice that runs them: a second opinion on the models."""
