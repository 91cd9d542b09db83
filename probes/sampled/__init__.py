"""The sampled fidelity: ledgers from thread states at 100 Hz and requests from packets, where BPF is not allowed."""
