"""Programs as lava-dl's `.net` file (HDF5), so that netx loads them spike for spike.

Layers are `/layer/<i>` with the datasets that lava-dl's own `export_hdf5` writes and
lava/lib/dl/netx/hdf5.py (lava-dl 0.6.0) reads. netx sets du = iDecay − 1, dv = vDecay,
bias_exp = 6, ignores refDelay and gradedSpike, passes dense weights through an optimiser of its
own that is not exact for every matrix, and knows neither pools, delays of convolutions, branches
nor neuron programs. What it would load wrongly is not written but named.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnc.targets.cores.program import (
    Canonical,
    Compartment,
    Conv,
    Dense,
    Lif,
    MultiCompartment,
    Population,
    Program,
    Source,
    Sparse,
    Synapse,
)

A = NDArray[Any]
BIAS_EXP = 6
BIAS_BOUND = 1 << 12
DENSE_MAX = 1 << 24


@dataclass(frozen=True)
class _Layer:
    """A synapse with the populations at its ends."""

    name: str
    source: Population
    synapse: Synapse
    target: Population


def net_reasons(program: Program) -> list[str]:
    """What of the program a `.net` file can't say, by population; empty where it says all."""
    reasons = _chain_reasons(program)
    for name, split in program.splits.items():
        reasons.append(f"{name} is split into {len(split.parts)} populations")
    if program.cleared:
        reasons.append("its samples each need a cleared chip, since it delays spikes")
    for name, population in program.populations.items():
        if isinstance(population, Canonical):
            reasons.append(f"{name} is a neuron program")
        elif isinstance(population, Compartment | MultiCompartment):
            reasons.append(f"{name} needs compartments that are no LIF")
        elif isinstance(population, Lif) and _bias(population) is None:
            reasons.append(
                f"{name} has a bias that is no multiple of {1 << BIAS_EXP} per channel within"
                f" ±{BIAS_BOUND << BIAS_EXP}"
            )
    for layer in _layers(program):
        reasons += [f"{layer.name} {reason}" for reason in _synapse_reasons(layer)]
    return reasons


def _chain_reasons(program: Program) -> list[str]:
    sources = [name for name, item in program.populations.items() if isinstance(item, Source)]
    reasons: list[str] = []
    if len(sources) > 1:
        reasons.append(f"it has the inputs {', '.join(sources)}, not one")
    for name in program.populations:
        ins = sum(synapse.target == name for synapse in program.synapses)
        outs = sum(synapse.source == name for synapse in program.synapses)
        if ins > 1 or outs > 1:
            reasons.append(
                f"{name} stands at a branch: it has {ins} inputs and feeds {outs} layers"
            )
    return reasons


def _layers(program: Program) -> list[_Layer]:
    return [
        _Layer(
            synapse.target,
            program.populations[synapse.source],
            synapse,
            program.populations[synapse.target],
        )
        for synapse in sorted(
            program.synapses, key=lambda item: program.populations[item.target].lag
        )
    ]


def _synapse_reasons(layer: _Layer) -> list[str]:
    synapse = layer.synapse
    reasons: list[str] = []
    if synapse.delay or synapse.gate:
        reasons.append(f"has a synapse with a delay of {synapse.delay}")
    if isinstance(synapse, Sparse) and int(np.prod(synapse.matrix_shape)) > DENSE_MAX:
        return [*reasons, f"needs a matrix of {synapse.matrix_shape}, too large to write out"]
    weights = _weights(synapse)
    if weights is None:
        return [*reasons, f"has the weight exponent {synapse.exp}"]
    if isinstance(synapse, Conv):
        ends = (_plane(layer.source.shape), _plane(layer.target.shape))
        if ends != (synapse.in_shape, synapse.out_shape):
            reasons.append("convolves over other axes than its neurons have")
        return reasons
    effective = netx_weights(weights)
    if effective is None or not (effective == weights).all():
        reasons.append("has a weight matrix that netx changes when it loads it")
    return reasons


def _plane(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(C, L) as (C, 1, L): the schema's convolutions have two axes."""
    return (shape[0], 1, shape[1]) if len(shape) == 2 else shape


def _weights(synapse: Synapse) -> A | None:
    """The weights with their exponent applied, None where that isn't exact."""
    if isinstance(synapse, Sparse):
        rows = np.repeat(np.arange(synapse.matrix_shape[0]), np.diff(synapse.indptr))
        weight = np.zeros(synapse.matrix_shape, np.int64)
        weight[rows, synapse.indices] = synapse.data
    else:
        assert isinstance(synapse, Conv | Dense)
        weight = synapse.weight.astype(np.int64)
    if synapse.exp >= 0:
        weight = weight << synapse.exp
        return weight if weight.min() >= -256 and weight.max() <= 254 else None
    if (weight & ((1 << -synapse.exp) - 1)).any():
        return None
    return weight >> -synapse.exp


def netx_weights(weight: A) -> A | None:
    """The weights (times 2^exponent) that Lava computes with after netx loaded `weight`.

    Follows lava-dl 0.6.0, netx/utils.py, optimize_weight_bits, then lava-nc 0.10.0,
    utils/weightutils.py, clip_weights and truncate_weights, with the sign mode that Lava derives
    anew. None where netx fails: a matrix of zeros.
    """
    low, high = int(weight.min()), int(weight.max())
    if low == high == 0:
        return None
    mixed = high >= 0 > low
    if mixed:
        scale = min(127 / high if high else np.inf, -128 / low)
    else:
        scale = -256 / low if high < 0 else 255 / high
    scale_bits = int(np.floor(np.log2(scale))) + mixed
    n = 8
    while n > 0 and (weight % (1 << n)).any():
        n -= 1
    bits = 8 - scale_bits - (n - mixed)
    if scale_bits < 0:
        return None
    return _as_lava(weight << scale_bits, bits) / 2**scale_bits


def _as_lava(weight: A, bits: int) -> A:
    low, high = int(weight.min()), int(weight.max())
    lava_mixed = low < 0 < high
    inhibitory = low < 0 and not lava_mixed
    signed = -weight if inhibitory else weight
    clipped = np.clip(signed, -256 if lava_mixed else 0, 255)
    cut = 8 - bits + lava_mixed
    kept = (clipped >> cut) << cut if cut >= 0 else clipped
    return -kept if inhibitory else kept


def _bias(lif: Lif) -> A | None:
    """The bias as the mantissas that netx shifts left by 6, one per channel or neuron; None
    where it has none."""
    total = lif.bias_mant.astype(np.int64) << lif.bias_exp
    mantissa = total >> BIAS_EXP
    if (mantissa << BIAS_EXP != total).any() or np.abs(mantissa).max() >= BIAS_BOUND:
        return None
    wide = np.broadcast_to(mantissa, lif.shape)
    if wide.ndim == 1:
        return wide
    channels = wide.reshape(len(wide), -1)
    return channels[:, 0] if (channels == channels[:, :1]).all() else None


def net_hints(program: Program) -> list[str]:
    """What a user must tell netx when it loads the file."""
    hints = [
        "model.net: load it with netx.hdf5.Network(net_config, reset_interval=T, reset_offset=1)"
        " for samples of T steps one after another"
    ]
    for name, item in program.populations.items():
        if isinstance(item, Source) and item.bits:
            hints.append(
                f"model.net: {name} is graded, so give netx input_message_bits={item.bits}"
            )
    return hints


def net_bytes(program: Program) -> bytes:
    """The bytes of the `.net` file of a program that `net_reasons` has nothing against.

    The same program gives the same bytes.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", track_order=False) as file:
        layers = file.create_group("layer")
        count = 0
        for position, layer in enumerate(_layers(program)):
            if position == 0:
                _write_input(layers.create_group(str(count)), layer.source)
                count += 1
            if len(layer.source.shape) > 1 and not isinstance(layer.synapse, Conv):
                _write_flatten(layers.create_group(str(count)), layer.source)
                count += 1
            _write_layer(layers.create_group(str(count)), layer)
            count += 1
    return buffer.getvalue()


def _put(group: Any, **values: Any) -> None:
    for key, value in values.items():
        data = np.asarray([value.encode()], "S10") if isinstance(value, str) else value
        group.create_dataset(key, data=data, track_times=False)


def _write_input(group: Any, source: Population) -> None:
    _put(group, type="input", shape=np.asarray(_plane(source.shape), np.int64))


def _write_flatten(group: Any, source: Population) -> None:
    _put(group, type="flatten", shape=np.asarray((source.size, 1, 1), np.int64))


def _write_layer(group: Any, layer: _Layer) -> None:
    synapse, lif = layer.synapse, layer.target
    assert isinstance(lif, Lif)
    weight = _weights(synapse)
    assert weight is not None
    if isinstance(synapse, Conv):
        _put(
            group,
            type="conv",
            shape=np.asarray(synapse.out_shape, np.int64),
            inChannels=synapse.in_shape[0],
            outChannels=len(weight),
            kernelSize=np.asarray(weight.shape[2:], np.int64),
            stride=np.asarray(synapse.stride, np.int64),
            padding=np.asarray(synapse.padding, np.int64),
            dilation=np.asarray(synapse.dilation, np.int64),
            groups=synapse.groups,
        )
    else:
        _put(
            group,
            type="dense",
            shape=np.asarray((lif.size,), np.int64),
            inFeatures=weight.shape[1],
            outFeatures=weight.shape[0],
        )
    _put(group, weight=weight.astype(np.float32))
    bias = _bias(lif)
    assert bias is not None
    if bias.any():
        _put(group, bias=bias.astype(np.float32))
    _put(
        group.create_group("neuron"),
        type="LOIHI",
        iDecay=lif.du + 1,
        vDecay=lif.dv,
        vThMant=lif.vth,
        refDelay=1,
        gradedSpike=False,
    )


__all__ = ["net_bytes", "net_hints", "net_reasons", "netx_weights"]
