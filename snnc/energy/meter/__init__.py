"""Counts of any torch module, from its own forward: one pass, nothing is computed again.

The module runs as it is, whether snnc can compile it or not. Every function of torch that touches
its signals is seen (`snnc.energy.meter.mode`), so hand-written layers and neurons count as those of
a framework do. What has no rule is named in `Counts.uncounted`; nothing is guessed.
"""

from __future__ import annotations

from snnc.energy.meter.run import BATCH, Measurement, measure

__all__ = ["BATCH", "Measurement", "measure"]
