"""How long block devices take for their requests, from the kernel's block layer by BPF."""
