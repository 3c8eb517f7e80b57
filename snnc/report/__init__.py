"""Tables, JSON and pictures."""
