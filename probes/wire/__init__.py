"""What packets tell: connections and their handshakes (`probe`), and HTTP/1 requests where BPF is not allowed.

A packet socket of scapy's, a classic BPF filter made here (libpcap is not installed everywhere), and own parsing of the
few bytes that are needed: scapy's dissection by layers costs 50 times as much. Nothing is ever sent.
"""
