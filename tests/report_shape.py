"""The shape of a report as JSON: what is promised of it, and a check that finds what is not so."""

import types

from perfwatch.agent.model import BUCKETS

NUMBER, MAYBE = (int, float), types.NoneType
CAUSES = [{"mechanism": str, "share": NUMBER}]
EVIDENCE = [{"name": str, "value": (str, int, float), "text": str}]
LATENCY = dict.fromkeys(("p50", "p90", "p95", "p99", "max"), NUMBER)
LEDGER = dict.fromkeys(BUCKETS, NUMBER)
FRAMES = [{"function": str, "file": str, "line": int, "share": NUMBER, "called": (str, MAYBE)}]
TEXT = (str, MAYBE)
DOWNSTREAM = [
    {
        "peer": str,
        "protocol": str,
        "operation": TEXT,
        "kind": str,
        "count": int,
        "requests": int,
        **dict.fromkeys(("per_request", "p50_ms", "p95_ms", "total_ms"), NUMBER),
        **dict.fromkeys(("connect_share", "tls_share", "transfer_share"), NUMBER),
        **dict.fromkeys(("connections", "failed", "sent_bytes", "received_bytes"), int),
    }
]
PLACE = {"function": TEXT, "file": TEXT, "line": (int, MAYBE)}
CHAIN = [
    {
        "kind": str,
        "name": str,
        "mechanism": TEXT,
        "share": NUMBER,
        "text": str,
        **dict.fromkeys(("request", "pid", "tid"), (int, MAYBE)),
        **PLACE,
    }
]
BRIEF = {"principle": str, "mechanism": (str, MAYBE), "share": NUMBER, "confidence": NUMBER}
VERDICT = BRIEF | {"causes": CAUSES, "chain": CHAIN}
CALLS = [
    {
        "peer": str,
        "protocol": str,
        "operation": TEXT,
        "kind": str,
        "outcome": str,
        **dict.fromkeys(("offset_ms", "duration_ms", "unread_ms"), NUMBER),
        **dict.fromkeys(("connect_ms", "tls_ms", "send_ms", "wait_ms", "transfer_ms"), NUMBER),
        "new_connection": bool,
        **dict.fromkeys(("sent_bytes", "received_bytes", "pid", "tid"), int),
        "local": str,
        **PLACE,
    }
]
CULPRITS = [
    {
        "request": (int, MAYBE),
        "method": TEXT,
        "target": TEXT,
        "held_ms": NUMBER,
        "share": NUMBER,
        "pid": int,
        "tid": int,
        **PLACE,
        "called": TEXT,
    }
]
FIGURE = (int, float, MAYBE)
CONTRACT = {
    "schema": str,
    "session": {
        "pid": int,
        "python": TEXT,
        "command": str,
        "fidelity": str,
        "started_at": NUMBER,
        "duration_s": NUMBER,
        "host": {"hostname": str, "kernel": str, "machine": str, "cpus": int, "memory_bytes": int},
        "probes": [
            {
                "name": str,
                "status": str,
                "reason": TEXT,
                "records": (int, MAYBE),
                "lost": int,
                "missing": TEXT,
                "remedy": TEXT,
                "period_s": FIGURE,
            }
        ],
        "cost": {
            "cpu": FIGURE,
            "cpu_mean": FIGURE,
            "rss_bytes": int,
            "budget": NUMBER,
            "probes": [{"name": str, "cpu": NUMBER, "period_s": NUMBER}],
        },
        "slowed": [{"probe": str, "period_s": NUMBER, "reason": str}],
        "peers": [{"seen_by": int, "address": str, "pid": int, "name": str, "is_target": bool}],
        "targets": [{"pid": int, "python": TEXT, "command": str, "server": TEXT, "container": (dict, MAYBE)}],
        "container": (dict, MAYBE),
    },
    "requests": {
        "count": int,
        "slow_count": int,
        "slow_threshold_ms": FIGURE,
        "throughput_rps": NUMBER,
        "concurrency": NUMBER,
        "errors": int,
        "latency_ms": LATENCY,
    },
    "verdict": VERDICT | {"summary": str, "evidence": EVIDENCE, "advice": [str], "what_if_p95_ms": FIGURE},
    "endpoints": [
        VERDICT
        | {
            "method": str,
            "route": str,
            "count": int,
            "slow_count": int,
            "errors": int,
            "latency_ms": LATENCY,
            "ledger_ms": LEDGER,
            "frames": FRAMES,
            "evidence": EVIDENCE,
            "advice": [str],
            "service": (int, MAYBE),
            "downstream": DOWNSTREAM,
            "normal_count": int,
            "normal_ledger_ms": (dict, MAYBE),
            "normal_unaccounted_ms": FIGURE,
            "what_if": [{"mechanism": str, "p50_ms": NUMBER, "p95_ms": NUMBER}],
        }
    ],
    "downstream": DOWNSTREAM,
    "opportunities": [
        {
            **dict.fromkeys(("kind", "method", "route", "text"), str),
            "saves_ms": FIGURE,
            "count": int,
            "evidence": EVIDENCE,
            "advice": [str],
        }
    ],
    "deadlocks": [{"since": NUMBER, "summary": str, "members": CHAIN}],
    "in_flight": [
        {
            "start": NUMBER,
            "age_ms": NUMBER,
            "method": TEXT,
            "target": TEXT,
            "pid": int,
            "tid": int,
            "ledger_ms": LEDGER,
            "throttled_ms": NUMBER,
            "frames": FRAMES,
            "threads": str,
        }
    ],
    "slow_requests": [
        {
            "start": NUMBER,
            "duration_ms": NUMBER,
            "slow": bool,
            "method": TEXT,
            "target": TEXT,
            "status": (int, MAYBE),
            "protocol": str,
            "grpc_status": (int, MAYBE),
            "pid": int,
            "tid": int,
            "ledger_ms": LEDGER,
            "throttled_ms": NUMBER,
            "fidelity": str,
            "threads": str,
            "calls": CALLS,
            "call_count": int,
            "culprits": CULPRITS,
            "unaccounted_ms": NUMBER,
            "principle": str,
            "mechanism": TEXT,
            "confidence": NUMBER,
            "causes": CAUSES,
            "chain": CHAIN,
            "evidence": EVIDENCE,
            "frames": FRAMES,
            "blockers": [
                {
                    "kind": str,
                    "pid": int,
                    "tid": int,
                    "function": TEXT,
                    "file": TEXT,
                    "line": (int, MAYBE),
                    "share": NUMBER,
                }
            ],
            "service": (int, MAYBE),
            "caller": (int, MAYBE),
            "callees": [
                BRIEF
                | {
                    "call": int,
                    "request": int,
                    "pid": int,
                    "process": str,
                    "method": str,
                    "route": str,
                    "duration_ms": NUMBER,
                    "ledger_ms": LEDGER,
                    "unaccounted_ms": NUMBER,
                    "summary": str,
                }
            ],
        }
    ],
    "queues": {
        "run_queue": {
            "runnable_mean": FIGURE,
            "cpus": int,
            "waiting_mean": FIGURE,
            "waiting_median": FIGURE,
            "waiting_max": (int, MAYBE),
            "top": [{"pid": int, "name": str, "cpus": NUMBER, "is_target": bool}],
        },
        "sockets": [
            {
                "local": str,
                "peer": TEXT,
                "recv_q": (int, MAYBE),
                "send_q": (int, MAYBE),
                "backlog": (int, MAYBE),
                "backlog_max": (int, MAYBE),
                "role": str,
                "state": TEXT,
                "pid": (int, MAYBE),
                "backlog_now": (int, MAYBE),
                "rtt_ms": FIGURE,
                "retransmits": (int, MAYBE),
                "busy_ms": FIGURE,
                "rwnd_limited_ms": FIGURE,
                "sndbuf_limited_ms": FIGURE,
                "sent_bytes": (int, MAYBE),
                "received_bytes": (int, MAYBE),
                "drops": (int, MAYBE),
            }
        ],
        "disks": [
            {
                "device": str,
                "utilisation": NUMBER,
                "depth": NUMBER,
                "await_ms": FIGURE,
                "read_bytes_s": NUMBER,
                "written_bytes_s": NUMBER,
                "p99_ms": FIGURE,
                "file_systems": [str],
            }
        ],
        "disk_users": [{"pid": int, "name": str, "read_bytes_s": NUMBER, "written_bytes_s": NUMBER, "is_target": bool}],
        "threads": {"R": int, "S": int, "D": int},
        "socket_count": (int, MAYBE),
        "cgroups": [
            {
                "path": str,
                "quota_cpus": FIGURE,
                "used_cpus": FIGURE,
                "throttled": FIGURE,
                "throttled_ms_s": FIGURE,
                "memory_bytes": (int, MAYBE),
                "memory_limit_bytes": (int, MAYBE),
                "limit_hits": (int, MAYBE),
                "oom_kills": (int, MAYBE),
            }
        ],
        "pressure": [{"scope": str, "cpu": FIGURE, "memory": FIGURE, "io": FIGURE}],
        "connections": [
            {
                "role": str,
                "count": int,
                "setup_ms": FIGURE,
                "tls_count": int,
                "tls_resumed": int,
                "tls_ms": FIGURE,
                "retransmits": int,
                "resets": int,
            }
        ],
    },
    "timeline": [
        {
            **dict.fromkeys(("at", "length_s"), NUMBER),
            **dict.fromkeys(("requests", "slow", "errors", "in_flight"), int),
            **dict.fromkeys(("p50_ms", "p95_ms", "cpu", "cpu_pressure", "io_pressure"), FIGURE),
        }
    ],
    "memory": {
        "processes": [
            {
                **dict.fromkeys(("pid", "rss_bytes"), int),
                **dict.fromkeys(("pss_bytes", "uss_bytes", "swap_bytes"), (int, MAYBE)),
                "growth": (dict, MAYBE),
            }
        ],
        "course": [{"at": NUMBER, "rss_bytes": int}],
        **dict.fromkeys(("growth", "room"), (dict, MAYBE)),
        "gc_longest": [
            {
                **dict.fromkeys(("at", "paused_ms"), NUMBER),
                "pid": int,
                **dict.fromkeys(("generation", "collected", "request"), (int, MAYBE)),
                "serves": TEXT,
            }
        ],
    },
    "saturation": {
        "cpu": FIGURE,
        "memory": FIGURE,
        "disk": FIGURE,
        "network": FIGURE,
        "psi": {"cpu": FIGURE, "memory": FIGURE, "io": FIGURE},
        "scalability": (dict, MAYBE),
        "resources": [
            {"resource": str, "utilisation": FIGURE, "saturation": FIGURE, "errors": (int, MAYBE), "text": str}
        ],
    },
}
"""What DESIGN promises; a report may have more keys, never fewer."""


def faults(value, shape, where="report"):
    """Yield each place at which a value is not of its shape."""
    if isinstance(shape, dict):
        yield from (f"{where}.{key} is missing" for key in shape.keys() - value.keys())
        for key in shape.keys() & value.keys():
            yield from faults(value[key], shape[key], f"{where}.{key}")
    elif isinstance(shape, list):
        if not isinstance(value, list) or (value and not shape):
            yield f"{where} is {value!r}"
        for place, one in enumerate(value):
            yield from faults(one, shape[0], f"{where}[{place}]")
    elif not isinstance(value, shape) or (isinstance(value, bool) and shape is not bool):
        yield f"{where} is {value!r}"
