"""Layers and blocks: plain PyTorch modules with ordinary arguments, one family a file."""
