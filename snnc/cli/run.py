"""`snnc run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from snnc.artefact import load
from snnc.atomic import write_whole
from snnc.cli.common import guarded, out, print_json, progress_bar
from snnc.errors import InputError, OptionError
from snnc.ir import Graph
from snnc.ir.files import npz_bytes
from snnc.quality import DECODINGS
from snnc.reference import Ports, Trace
from snnc.reference.trace import add_events
from snnc.samples import batches, length, read_samples, split_labels
from snnc.verify import BATCH, Scores, check_inputs, decoder_for, run_stage

LARGE_BATCH = 256
"""Samples at a time where nothing but the outputs is kept."""


@click.command("run")
@click.argument("artefact")
@click.option("--input", "input_file", required=True, help="Samples (.npz/.npy).")
@click.option("-o", "--output", required=True, help="Where the outputs go (.npz).")
@click.option("--stage", default="sim", show_default=True, help="s1, s2, sim, loihi, lava or uwe.")
@click.option("--record", multiple=True, help="`all`, or LAYER:u,v,s; may be repeated.")
@click.option("--decode", type=click.Choice(DECODINGS),
              help="Write the images that output spikes stand for, not the spikes.")  # fmt: skip
@guarded
def run_command(
    artefact: str,
    input_file: str,
    output: str,
    stage: str,
    record: tuple[str, ...],
    decode: str | None,
    as_json: bool,
) -> None:
    """Run a stage of ARTEFACT on samples and write its outputs.

    The output file holds one array per output, and LAYER/s, LAYER/u, LAYER/v for what --record
    names: states as the integers that they are (real numbers at stage s1). An array `labels` in
    the input file adds the accuracy; images `clean`, with --decode, the PSNR of the first output.
    """
    stage = stage.lower()
    compiled = load(artefact)
    graph = compiled.network
    samples, labels, clean = split_labels(read_samples(input_file), graph.inputs)
    checked = check_inputs(compiled, samples)
    ports = _ports(compiled.int_graph, record)
    traces: list[Trace] = []
    count = length(checked)
    decoder = decoder_for(compiled, decode, checked, graph.outputs)
    scores = Scores(compiled, count, labels, clean, decoder)
    size = count if stage == "lava" else (BATCH if ports else LARGE_BATCH)
    with progress_bar(as_json) as advance:
        advance(f"running {stage}", 0, count)
        for first, part in batches(checked, size):
            share = min(size, count - first)

            def within(done: float, first: int = first, share: int = share) -> None:
                advance(f"running {stage}", first + int(done * share), count)

            trace = run_stage(compiled, stage, part, ports, first, within)
            shown = trace if decoder is None else decoder.decoded(trace)
            name = scores.output
            scores.add(stage, trace.outputs[name], first, shown.outputs[name])
            traces.append(shown)
            within(1.0)
    arrays = _joined(traces)
    write_whole(Path(output), npz_bytes(arrays), InputError)
    summary = _summary(stage, count, arrays, traces, scores)
    if as_json:
        print_json(summary)
        return
    right = f", accuracy {summary['accuracy']:.2%}" if "accuracy" in summary else ""
    quality = "".join(f", {found}" for found in scores.psnr().values())
    out.print(f"ran {count} samples on {stage}{right}{quality}")
    events = summary["events"]
    if any(events.values()):
        out.print(", ".join(f"{name}: {number:,}" for name, number in events.items()))
    if events.get("wrap") or events.get("clip"):
        out.print("states left their 24 bits: compile with --calibrate and data like these")
    out.print(f"wrote {output}: {', '.join(arrays)}")


def _ports(graph: Graph, record: tuple[str, ...]) -> Ports:
    ports: dict[str, set[str]] = {}
    for item in record:
        if item == "all":
            ports.update({name: {"s", "u", "v"} for name in graph.neurons})
            continue
        layer, _, wanted = item.partition(":")
        chosen = tuple(wanted.split(",")) if wanted else ("s",)
        if layer not in graph.neurons or not set(chosen) <= {"s", "u", "v"}:
            raise OptionError(
                "--record",
                f"{item!r} names no layer and ports",
                f"LAYER:u,v,s with LAYER one of {', '.join(graph.neurons)}",
            )
        ports.setdefault(layer, set()).update(chosen)
    return {layer: tuple(sorted(chosen)) for layer, chosen in ports.items()}


def _joined(traces: list[Trace]) -> dict[str, Any]:
    arrays = {
        name: np.concatenate([trace.outputs[name] for trace in traces])
        for name in traces[0].outputs
    }
    for name, port in traces[0].records:
        parts = [trace.records[name, port] for trace in traces]
        arrays[f"{name}/{port}"] = np.concatenate(parts)
    return arrays


def _summary(
    stage: str, count: int, arrays: dict[str, Any], traces: list[Trace], scores: Scores
) -> dict[str, Any]:
    events: dict[str, int] = {}
    for trace in traces:
        add_events(events, trace)
    summary: dict[str, Any] = {
        "stage": stage,
        "samples": count,
        "arrays": {name: list(value.shape) for name, value in arrays.items()},
        "events": events,
    }
    accuracy, quality = scores.accuracy({stage: count}), scores.psnr()
    if accuracy:
        summary["accuracy"] = accuracy[stage]
    if quality:
        summary["psnr"] = quality[stage].to_dict()
    return summary
