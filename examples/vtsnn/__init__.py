"""VTSNN: images denoised by a spiking U-Net, from noisy pixel to clean pixel."""
