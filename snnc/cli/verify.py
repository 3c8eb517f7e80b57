"""`snnc verify`."""

from __future__ import annotations

import sys

import click

from snnc.artefact import Artefact, load
from snnc.cli.common import guarded, out, print_json, progress_bar
from snnc.quality import DECODINGS
from snnc.report.tables import verify_tables
from snnc.samples import read_samples, split_labels
from snnc.verify import SLOW_SAMPLES, Report, stages_of, verify, why_left_out


@click.command("verify")
@click.argument("artefact")
@click.option("--input", "input_file", help="Samples (.npz/.npy); the model's own example if none.")
@click.option(
    "--stages", help="Comma-separated: s0,s1,s2,sim,loihi,lava,uwe; all that can run if none."
)
@click.option("--lava-samples", type=click.IntRange(1), default=SLOW_SAMPLES, show_default=True,
              help="How many of the samples go through Lava.")  # fmt: skip
@click.option("--decode", type=click.Choice(DECODINGS),
              help="How output spikes become images, which `clean` is compared with.")  # fmt: skip
@guarded
def verify_command(
    artefact: str,
    input_file: str | None,
    stages: str | None,
    lava_samples: int,
    decode: str | None,
    as_json: bool,
) -> None:
    """Compare the stages of ARTEFACT pair by pair; exit 1 if a pair that must be exact is not.

    An array `labels` in the input file adds accuracies; images `clean`, with --decode, the PSNR
    of the first output.
    """
    compiled = load(artefact)
    samples, labels, clean = (None, None, None)
    if input_file is not None:
        inputs = compiled.network.inputs
        samples, labels, clean = split_labels(read_samples(input_file), inputs)
    with progress_bar(as_json) as advance:
        report = verify(
            compiled,
            samples,
            stages,
            labels,
            slow_samples=lava_samples,
            progress=advance,
            clean=clean,
            decode=decode,
        )
    if as_json:
        print_json(report.to_dict())
    else:
        for table in verify_tables(report):
            out.print(table)
        _say_what_was_left_out(compiled, stages, report)
    sys.exit(0 if report.ok else 1)


def _say_what_was_left_out(artefact: Artefact, chosen: str | None, report: Report) -> None:
    clips = sum(events.get("clip", 0) + events.get("wrap", 0) for events in report.events.values())
    if clips:
        out.print("states left their 24 bits: compile with --calibrate and data like these")
    if chosen is not None:
        return
    for stage in stages_of(artefact):
        if stage not in ("s0", *report.samples):
            why = why_left_out(artefact, stage) or "it can't run here, see `snnc doctor`"
            out.print(f"stage {stage} was left out: {why}")
    example = artefact.example
    if example is not None and example.spikes and "s0" not in report.samples:
        out.print("stage s0 is known for the model's own example only: leave --input away for it")
