"""One file per source of models: torch tracing, snnTorch, SpikingJelly, NIR, lava-dl."""
