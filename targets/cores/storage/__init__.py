"""How much synaptic memory and how many axons the synapses of a slice take."""
