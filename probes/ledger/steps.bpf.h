/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * Steps: what user space needs to follow a request through an event loop, and from thread to thread. A thread that does so
 * is a lane: what it did since its last step goes with each, and whose that was is found out there (loops.py).
 */
#pragma once

#define STEP_BYTES __builtin_offsetof(struct step, local)

struct told { /* the fields of a step that its kind decides */
	u64 connection;
	u64 request;
	u64 since_ns;
	s64 bytes;
	u64 other;
};

static __always_inline void fill_told(struct step *step, u32 kind, u64 now, const struct told *told)
{
	step->size = sizeof(*step);
	step->kind = EVENT_STEP;
	step->at_ns = now;
	step->step = kind;
	step->head_length = 0;
	step->connection = told->connection;
	step->request = told->request;
	step->since_ns = told->since_ns;
	step->bytes = told->bytes;
	step->other = told->other;
}

/* What a lane did since its last step goes with this one. */
static __always_inline void take_booked(u64 *booked, struct thread *t)
{
	if (t && t->lane) {
		__builtin_memcpy(booked, t->ledger.booked, sizeof(u64) * BUCKETS);
		__builtin_memset(&t->ledger, 0, sizeof(t->ledger));
	} else {
		__builtin_memset(booked, 0, sizeof(u64) * BUCKETS);
	}
}

/* For a thread that runs, all its time until `now` is booked before. */
static __noinline int tell_step(struct thread *t, u32 kind, u64 now, const struct told *told)
{
	struct step *step = bpf_ringbuf_reserve(&events, STEP_BYTES, 0);

	if (!step) {
		count(LOST_STEPS);
		return 0;
	}
	fill_told(step, kind, now, told);
	step->pid = t->pid;
	step->tid = t->tid;
	take_booked(step->booked, t);
	bpf_ringbuf_submit(step, BPF_RB_NO_WAKEUP);
	return 0;
}
