"""The machine of docs/machine.md event by event: slow and short, what the timing engine equals."""
