"""All benchmarks: `python -m benchmarks [--quick]`; tables and data go to `bench-out/`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks import compile_time, deep, energy, growth, simulator, speed

FOLDER = Path("bench-out")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quick look, not for publication")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    rates = speed.measure_all(options.quick)
    speed.save(rates, FOLDER)
    print(speed.table(rates), end="\n\n", flush=True)
    compiled = compile_time.run(1 if options.quick else 3)
    _save("compile_time", compile_time.table(compiled), compiled)
    networks = deep.run()
    _save("deep", deep.table(networks), networks)
    counted = energy.run(options.quick)
    _save("energy", energy.table(counted), counted)
    timed = simulator.run(options.quick)
    _save("simulator", simulator.table(timed), timed)
    grown = growth.measure_all(options.quick, million=not options.quick)
    growth.save(grown, FOLDER)
    print(growth.table(grown))


def _save(name: str, text: str, data: object) -> None:
    (FOLDER / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    (FOLDER / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    print(text, end="\n\n", flush=True)


if __name__ == "__main__":
    main()
