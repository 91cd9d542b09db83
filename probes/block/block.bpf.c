// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * How long each block device takes for its requests: one histogram a device, filled where requests complete.
 *
 * A request counts where and when /proc/diskstats counts it (block/blk-mq.c, blk_account_io_done): once, at its last
 * completion, from start_time_ns, so the queue is in it; not while it is a step of a flush, for it completes once more
 * when the flush is done; not if it is a command of the driver. Devices without requests (device mapper, md, zram) have
 * no histogram; those below them do. A completion that interrupts this program on the same CPU is missed: the kernel
 * lets none interrupt itself.
 */
#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define RELOCATED __attribute__((preserve_access_index))
#define OPERATION 0xff /* REQ_OP_MASK */
#define FIRST_DRIVER_OPERATION 34 /* REQ_OP_DRV_IN */
#define DISCARD 3 /* REQ_OP_DISCARD */
#define FLUSH_STEP_BEFORE_6_11 (1 << 4) /* RQF_FLUSH_SEQ, when it was no enumerator yet */
#define SLOTS 32 /* powers of two of a microsecond: up to 35 minutes, and what is longer */
#define DEVICES 256

typedef __u32 u32;
typedef __u64 u64;

enum rqf_flags { __RQF_FLUSH_SEQ = 1 };

struct block_device {
	u32 bd_dev;
} RELOCATED;

struct request {
	u32 cmd_flags;
	u32 rq_flags;
	u32 __data_len;
	struct block_device *part; /* 5.12; before it a struct hd_part */
	u64 start_time_ns;
} RELOCATED;

struct histograms {
	u64 reads[SLOTS];
	u64 writes[SLOTS];
};

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, DEVICES);
	__type(key, u32); /* dev_t as the kernel has it: major << 20 | minor */
	__type(value, struct histograms);
} latencies SEC(".maps");

static const struct histograms empty;

static __always_inline bool is_flush_step(const struct request *rq)
{
	u32 mask = FLUSH_STEP_BEFORE_6_11;

	if (bpf_core_enum_value_exists(enum rqf_flags, __RQF_FLUSH_SEQ))
		mask = 1 << bpf_core_enum_value(enum rqf_flags, __RQF_FLUSH_SEQ);
	return rq->rq_flags & mask;
}

static __always_inline struct histograms *histograms_of(u32 device)
{
	struct histograms *found = bpf_map_lookup_elem(&latencies, &device);

	if (found)
		return found;
	bpf_map_update_elem(&latencies, &device, &empty, BPF_NOEXIST);
	return bpf_map_lookup_elem(&latencies, &device);
}

static __always_inline u32 slot_of(u64 us) /* its logarithm to base 2 */
{
	u32 slot = 0;

	if (us >> 31)
		return SLOTS - 1;
	for (u32 step = 16; step; step >>= 1)
		if (us >> step) {
			us >>= step;
			slot += step;
		}
	return slot & (SLOTS - 1);
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(on_block_done, struct request *rq, int error, unsigned int bytes)
{
	u32 operation = rq->cmd_flags & OPERATION;
	struct histograms *found;
	u64 now, *slots;

	if (bytes < rq->__data_len || operation >= FIRST_DRIVER_OPERATION || operation == DISCARD || is_flush_step(rq))
		return 0;
	now = bpf_ktime_get_ns();
	if (!rq->start_time_ns || !rq->part || now < rq->start_time_ns) /* the device keeps no statistics */
		return 0;
	found = histograms_of(rq->part->bd_dev);
	if (!found)
		return 0;
	slots = operation & 1 ? found->writes : found->reads; /* op_is_write */
	slots[slot_of((now - rq->start_time_ns) / 1000)]++;
	return 0;
}
