"""Chips of cores: what runs on them, where it lies, how long it takes and what it costs.

`program` holds what an integer graph becomes; `architecture` reads a chip's file; `mapping` says
which neurons lie on which core, `axons` what follows from that, packet by packet.
"""

from pathlib import Path

CHIPS = Path(__file__).parent / "chips"
"""Folder of the chips' files."""
