"""`snnc doctor`."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

import click

from snnc.cli.common import err, guarded, out, print_json
from snnc.report.tables import doctor_table
from snnc.targets.base import Check
from snnc.targets.registry import targets

REQUIRED = ("numpy", "scipy", "h5py", "nir", "click", "rich")

OPTIONAL = {
    "torch": "pip install torch==2.13.0",
    "snntorch": "pip install snntorch==1.0.0",
    "spikingjelly": "pip install --no-deps spikingjelly==2.0.0",
}


@click.command("doctor")
@guarded
def doctor_command(as_json: bool) -> None:
    """Say what is installed, what works, and how to get the rest."""
    checks = [_python(), *(_package(name, "pip install -e .", True) for name in REQUIRED)]
    checks += [_package(name, fix, False) for name, fix in OPTIONAL.items()]
    for name, item in targets().items():
        with err.status(f"checking {name}"):
            found = item.checks()
        checks += [Check(f"{name}: {c.name}", c.ok, c.detail, c.fix) for c in found]
    if as_json:
        print_json([vars(check) for check in checks])
        return
    out.print(doctor_table(checks))


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return Check("python", sys.version_info >= (3, 11), found, "use Python 3.11 or newer")


def _package(name: str, fix: str, required: bool) -> Check:
    try:
        return Check(name, True, version(name))
    except PackageNotFoundError:
        return Check(name, False, "not installed" if required else "not installed (optional)", fix)
