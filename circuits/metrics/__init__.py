"""What a converter is measured by, as in IEEE 1241 (converters) and IEEE 1057 (sine fits)."""
