"""Counts what a mapping holds a second time; shares no code with the mapper or its sizes."""
