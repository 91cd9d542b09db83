// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * The exact ledger: every nanosecond of a request is booked once, in the kernel, as it passes.
 *
 * One state machine a thread (running, blocked, preempted), driven by sched_switch; a wake-up only leaves a time stamp,
 * which the switch-in uses to split the wait. So a thread's ledger has one writer, the CPU it runs on, and nothing
 * is lost to races. Sockets say where a request begins (the first read) and ends (the last write). Only threads that
 * serve a request are followed; for all others a switch costs the test of one number.
 */
#include "kernel.bpf.h"
#include "layout.bpf.h"
#include "sockets.bpf.h"
#include "blocked.bpf.h"

#define LONG_WAIT_NS 1000000 /* a wait of this length is told one by one */
#define KEEPER_NS 10000000000ULL /* so long a thread is looked at that kept a request waiting */
#define HASHED_BYTES 64
#define MAX_REQUESTS 8192
#define FOLLOWED 16384 /* a power of two */
#define RESTS 0xffffffffffffffff /* until it is woken */

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_REQUESTS);
	__type(key, u32); /* tid */
	__type(value, struct thread);
} threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32); /* tgid */
	__type(value, struct target);
} targets SEC(".maps");

struct { /* the request that is open, or was last answered, on a connection */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_REQUESTS);
	__type(key, u64); /* socket cookie */
	__type(value, struct request);
} requests SEC(".maps");

struct { /* when unread bytes arrived on a connection */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2 * MAX_REQUESTS);
	__type(key, u64); /* socket cookie */
	__type(value, u64);
} arrivals SEC(".maps");

struct { /* threads that were seen waiting for events: one that reads requests as well is an event loop */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32); /* tid */
	__type(value, u32); /* tgid */
} epoll_waiters SEC(".maps");

#include "stacks.bpf.h"

enum counter { LOST_REQUESTS, LOST_WAITS, NOT_HTTP, MAP_FULL, LOST_STACKS, LOST_PAUSES, LOST_STEPS, LOST_TLS, HTTP_2, COUNTERS };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

struct scratch { /* what is too large for the stack */
	struct request request;
	struct thread thread;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

u64 last_request; /* ids count up */

/* How many followed threads have a number that ends so: 0 spares all others the look-up at their switches. */
u32 followed[FOLLOWED];

static __always_inline struct thread *followed_thread(u32 tid)
{
	struct thread *t;

	if (!followed[tid & (FOLLOWED - 1)])
		return NULL;
	t = bpf_map_lookup_elem(&threads, &tid);
	return t && (t->request || t->lane) && !t->parked ? t : NULL;
}

/* The same, or one that serves no request, but kept one waiting not long ago: only its long waits are told. */
static __always_inline struct thread *observed_thread(u32 tid)
{
	struct thread *t;

	if (!followed[tid & (FOLLOWED - 1)])
		return NULL;
	t = bpf_map_lookup_elem(&threads, &tid);
	return t && (t->request || t->lane || t->kept_ns) && !t->parked ? t : NULL;
}

static __always_inline bool is_keeper(const struct thread *t)
{
	return !t->request && !t->lane;
}

static __noinline int count(u32 counter)
{
	u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		(*value)++;
	return 0;
}

#include "tls.bpf.h"

static __always_inline struct thread *thread_of(u32 pid, u32 tid)
{
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);
	struct scratch *s;
	u32 zero = 0, *waits;

	if (t)
		return t;
	s = bpf_map_lookup_elem(&scratches, &zero);
	if (!s)
		return NULL;
	waits = bpf_map_lookup_elem(&epoll_waiters, &tid);
	s->thread.pid = s->thread.waits_at.pid = pid; /* all else of it is 0, and stays so */
	s->thread.tid = s->thread.waits_at.tid = tid;
	s->thread.lane = waits && *waits == pid ? LOOP_LANE : NO_LANE;
	s->thread.since_ns = bpf_ktime_get_ns();
	if (!bpf_map_update_elem(&threads, &tid, &s->thread, BPF_NOEXIST))
		__sync_fetch_and_add(&followed[tid & (FOLLOWED - 1)], 1);
	return bpf_map_lookup_elem(&threads, &tid);
}

#include "steps.bpf.h"

static __always_inline bool is_target(u32 tgid)
{
	return bpf_map_lookup_elem(&targets, &tgid);
}

static __always_inline u32 masked(u32 bucket)
{
	bucket &= BUCKETS - 1;
	asm volatile("" : "+r"(bucket)); /* or clang drops the mask, and the verifier the program */
	return bucket;
}

/* --- booking ---------------------------------------------------------------------------------------------------- */

static __always_inline bool same_address(const struct address *a, const struct address *b)
{
	return *(u64 *)a->bytes == *(u64 *)b->bytes && *(u64 *)(a->bytes + 8) == *(u64 *)(b->bytes + 8) &&
	       a->port == b->port && a->family == b->family;
}

static __always_inline void book_peer(struct thread *t, u64 waited)
{
	for (u32 i = 0; i < PEERS; i++) {
		struct peer *peer = &t->ledger.peers[i];

		if (!peer->address.family)
			peer->address = t->peer;
		if (same_address(&peer->address, &t->peer)) {
			peer->wait_ns += waited;
			peer->waits++;
			return;
		}
	}
}

static __noinline int close_ledger(struct request *r, const struct thread *t)
{
	r->ledger = t->ledger;
	if (t->loops)
		r->flags |= SHARED;
	return 0;
}

static __noinline int emit_wait(struct thread *t)
{
	if (t->pending.size && bpf_ringbuf_output(&events, &t->pending, sizeof(t->pending), BPF_RB_NO_WAKEUP))
		count(LOST_WAITS);
	t->pending.size = 0;
	return 0;
}

/* Whose stack it is was noted when it was walked; here, which request it belongs to. */
static __always_inline void emit_stack(const struct thread *t, struct stack *stack, u32 role, u64 at_ns)
{
	stack->request = is_keeper(t) ? KEEPER : t->request;
	stack->role = role;
	stack->at_ns = at_ns;
	if (send_stack(stack))
		count(LOST_STACKS);
}

/* Inside the request as far as is known: told at once. After an answer: kept until more is sent, for most often
 * it is the thread waiting for its next request. */
static __always_inline void tell_wait(struct thread *t, u64 until, u64 now, u64 throttled)
{
	struct wait *w = &t->pending;

	emit_wait(t);
	emit_stack(t, &t->waits_at, WAITED, t->since_ns);
	w->kind = EVENT_WAIT;
	w->size = sizeof(*w);
	w->request = is_keeper(t) ? KEEPER : t->request;
	w->pid = t->pid;
	w->tid = t->tid;
	w->started_ns = t->since_ns;
	w->blocked_ns = until - t->since_ns;
	w->runnable_ns = now - until;
	w->throttled_ns = throttled;
	w->bucket = t->bucket;
	w->call = t->call;
	w->futex = t->futex;
	w->peer = t->peer;
	w->waker.pid = 0;
	w->woken_ns = 0;
	if (t->state == BLOCKED && t->woken_ns > t->since_ns) {
		w->waker = t->woken_by;
		w->woken_ns = t->woken_ns;
	}
	w->ahead = t->ahead;
	if (t->bucket == OTHER)
		__builtin_memcpy(w->stack, t->stack, sizeof(w->stack));
	else
		w->stack[0] = 0;
	if (!t->answered)
		emit_wait(t);
}

static __always_inline u64 queue_clock(struct task_struct *task)
{
	return task->se.cfs_rq->rq->clock;
}

/* Since when a thread that is being switched in could have run: what the scheduler itself adds to its run_delay. A
 * wake-up's own time would not do: until a sleeping CPU takes the thread over, it waits for no other thread. */
static __always_inline u64 runnable_since(struct task_struct *task, const struct thread *t, u64 now)
{
	u64 queued = 0, clock;

	if (t->state == PREEMPTED)
		return t->since_ns;
	if (!bpf_core_field_exists(task->sched_info.last_queued))
		return t->woken_ns > t->since_ns && t->woken_ns <= now ? t->woken_ns : now;
	queued = task->sched_info.last_queued;
	clock = queue_clock(task);
	if (!queued || clock < queued)
		return now;
	return clock - queued < now - t->since_ns ? now - (clock - queued) : t->since_ns;
}

/* All the time that a queue of a group was throttled, by its own clock. */
static __always_inline u64 throttled_until_now(struct cfs_rq *queue)
{
	u64 since;

	if (!bpf_core_field_exists(queue->throttled_clock_self_time))
		return 0;
	since = queue->throttled_clock_self;
	return queue->throttled_clock_self_time + (since && queue->rq->clock > since ? queue->rq->clock - since : 0);
}

/* For the thread that is being switched out, or has just been: may the wait that begins be the quota's? */
static __always_inline void note_quota(struct thread *t, struct task_struct *task)
{
	struct cfs_rq *queue = task->se.cfs_rq;

	t->group_queue = 0;
	if (bpf_core_field_exists(task->throttled) && !task->throttled)
		return; /* what is throttled later, it will be when it has run */
	t->group_queue = (u64)queue;
	t->throttled_ns = throttled_until_now(queue);
}

/* How much of a wait for a CPU its group had used up its quota: as its queue was throttled since the switch-out. */
static __always_inline u64 throttled_in_wait(const struct thread *t, u64 waited)
{
	u64 throttled;

	if (!t->group_queue)
		return 0;
	throttled = throttled_until_now(AS(struct cfs_rq, t->group_queue));
	if (throttled <= t->throttled_ns)
		return 0;
	throttled -= t->throttled_ns;
	return throttled < waited ? throttled : waited;
}

/* A loop that waited for events, or a worker for work: not a part of any request. `other` is when it could have run, of a
 * worker since when it waited. One that another worker woke may have waited for its lock in the midst of a request. */
static __noinline int end_idling(struct thread *t, u64 until, u64 now, u64 throttled)
{
	struct told told = { .since_ns = t->since_ns, .other = until };
	u32 kind = STEP_IDLED;

	if (!t->idles) {
		kind = STEP_TOOK;
		if (t->handed_by == WORKER_LANE && now - t->since_ns >= LONG_WAIT_NS)
			tell_wait(t, until, now, throttled);
		until = t->handed_ns < until ? t->handed_ns : until; /* on its way to a CPU from there on */
		told.since_ns = until;
		told.other = t->since_ns;
		told.bytes = t->lane == STREAM_LANE;
	}
	tell_step(t, kind, now, &told);
	t->ledger.booked[RUN_QUEUE] += now - until;
	t->ledger.booked[THROTTLED] += throttled;
	t->idles = t->handed_ns = t->handed_by = 0;
	t->ahead.pid = 0;
	t->since_ns = now;
	t->state = RUNNING;
	return 0;
}

/* Not static: verified once. */
__noinline int book_wait(struct thread *t, u64 until, u64 now)
{
	u64 throttled;

	if (!t)
		return 0;
	throttled = throttled_in_wait(t, now - until);
	if (t->state == BLOCKED && (t->idles || t->handed_ns))
		return end_idling(t, until, now, throttled);
	if (t->state == BLOCKED) {
		if (t->bucket == OTHER && t->woken_by_child && t->woken_ns > t->since_ns)
			t->bucket = CHILD;
		t->ledger.booked[masked(t->bucket)] += until - t->since_ns;
		if (t->bucket == CALLS)
			book_peer(t, until - t->since_ns);
	}
	t->ledger.booked[RUN_QUEUE] += now - until;
	t->ledger.booked[THROTTLED] += throttled;
	if (now - t->since_ns >= LONG_WAIT_NS)
		tell_wait(t, until, now, throttled);
	t->ahead.pid = 0;
	t->since_ns = now;
	t->state = RUNNING;
	return 0;
}

/* Its switch-in went unseen (some kernels do not trace all of them); when it was, the scheduler noted by its own clock. */
static __noinline int recover_switch_in(struct thread *t, u64 now)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 arrived = t->since_ns, queued = 0;

	if (bpf_core_field_exists(task->sched_info.last_arrival)) {
		arrived = t->clock_offset + task->sched_info.last_arrival;
		queued = task->sched_info.run_delay - t->run_delay_ns;
	}
	if (arrived < t->since_ns || arrived > now)
		arrived = t->since_ns;
	if (queued > arrived - t->since_ns || t->state == PREEMPTED)
		queued = arrived - t->since_ns;
	return book_wait(t, arrived - queued, arrived);
}

/* For the thread that runs. */
static __always_inline void book_running(struct thread *t, u64 now)
{
	if (t->state != RUNNING)
		recover_switch_in(t, now);
	t->ledger.booked[ON_CPU] += now - t->since_ns;
	t->since_ns = now;
}

static __always_inline u64 switches(const struct task_struct *task)
{
	return task->nvcsw + task->nivcsw;
}

/* Has answered, and waits as one does for the next request: it is left alone until then. That spares half of the cost.
 * Where the next was read already, its time has begun. */
static __always_inline bool idles(const struct thread *t)
{
	return t->answered && !t->has_next && !t->target.streams &&
	       (t->bucket == LOCK || t->bucket == RECEIVE || t->bucket == OTHER);
}

/* It was no idling: it sends more of the same answer. What it did meanwhile is known if that was this one wait. */
static __noinline int unpark(struct thread *t, u64 now)
{
	u64 parked = t->parked;
	u32 pid = t->pid;
	struct target *target = bpf_map_lookup_elem(&targets, &pid);

	if (target)
		target->streams = 1;
	t->target.streams = 1;
	t->parked = 0;
	if (switches(bpf_get_current_task_btf()) == parked)
		return 0; /* its switch-in is recovered */
	t->state = RUNNING;
	t->since_ns = now; /* left unaccounted */
	return 0;
}

/* Where in its code does it block? Not asked of a wait for the interpreter lock: that one is where its time was up. */
static __always_inline void note_place(struct thread *t)
{
	struct stack_scratch *s = stack_scratch();

	t->waits_at.frame_count = 0;
	if (s && t->bucket != GIL && (!t->answered || t->target.streams))
		walk_python(&t->target.python, s, &t->waits_at);
}

/* A worker that answers streams blocks for a lock: where it has no more frames than any wait behind an answer had, it has
 * done what it had to do, and waits for its next. */
static __noinline int note_rest(struct thread *t)
{
	u32 depth;

	note_place(t);
	depth = t->waits_at.frame_count;
	if (depth && t->has_ended && (!t->rest_depth || depth < t->rest_depth))
		t->rest_depth = depth;
	t->has_ended = 0;
	if (depth && depth == t->rest_depth)
		t->handed_ns = RESTS;
	return 0;
}

/* Of method and path, without digits: what is alike does alike. FNV-1a. Not static: verified once. */
__noinline u64 line_hash(const struct request *r)
{
	u64 hash = 0xcbf29ce484222325;
	u32 spaces = 0;

	if (!r)
		return 0;
	for (u32 i = 0; i < HASHED_BYTES && i < r->head_length; i++) {
		u8 c = r->head[i];

		if (c == '?' || c == '\r' || (c == ' ' && spaces++))
			break;
		if (c >= '0' && c <= '9')
			continue;
		hash = (hash ^ c) * 0x100000001b3;
	}
	return hash;
}

/* What it serves is told from its first byte on, as if it had been known for a loop: all that it did since is one stretch. */
static __noinline int tell_first(struct thread *t)
{
	u64 connection = t->connection;
	struct request *r = bpf_map_lookup_elem(&requests, &connection);
	struct told told = { .connection = connection };

	if (!r || r->id != t->request || r->flags & (SHARED | SEVERAL))
		return 0;
	r->flags |= BY_STEPS;
	told.request = r->id;
	told.since_ns = r->arrived_ns;
	told.bytes = r->received_bytes;
	told.other = line_hash(r);
	return tell_step(t, STEP_READ, r->started_ns, &told);
}

/* From here on its time is told step by step. */
static __always_inline void become_loop(struct thread *t)
{
	u32 answered = t->answered;

	if (t->lane == LOOP_LANE)
		return;
	t->answered = 0;
	t->pending.size = 0;
	if (t->request && !answered)
		tell_first(t); /* as one that is no lane yet it keeps its ledger for the next step */
	else
		__builtin_memset(&t->ledger, 0, sizeof(t->ledger));
	t->lane = LOOP_LANE;
	t->request = 0;
}

static __always_inline void switch_out(void *ctx, struct task_struct *task, bool preempted, u32 state)
{
	struct thread *t = observed_thread(task->pid);
	struct told told = {};
	u64 now;

	if (!t)
		return;
	now = bpf_ktime_get_ns();
	if (is_keeper(t) && now - t->kept_ns > KEEPER_NS) {
		t->kept_ns = 0;
		return;
	}
	book_running(t, now);
	t->clock_offset = now - queue_clock(task);
	if (bpf_core_field_exists(task->sched_info.run_delay))
		t->run_delay_ns = task->sched_info.run_delay;
	note_quota(t, task);
	if (preempted || !state) {
		t->state = PREEMPTED;
		t->bucket = RUN_QUEUE;
		t->call = -1;
		t->futex = 0;
		t->peer.family = 0;
		t->waits_at.frame_count = 0;
		return;
	}
	note_block(t, state);
	if (t->bucket == OTHER && bpf_get_stack(ctx, t->stack, sizeof(t->stack), 0) < 0)
		t->stack[0] = 0;
	t->state = BLOCKED;
	if (is_keeper(t))
		t->idles = t->waits_at.frame_count = 0;
	else if (t->idles)
		become_loop(t);
	else if (t->lane == STREAM_LANE && t->bucket == LOCK)
		note_rest(t);
	else if (idles(t))
		t->parked = switches(task);
	else
		note_place(t);
	if (t->lane == WORKER_LANE && t->bucket == LOCK)
		tell_step(t, STEP_RESTED, now, &told);
}

static __noinline int note_who(struct who *who, struct task_struct *task)
{
	struct thread *t = followed_thread(task->pid);

	who->pid = task->tgid;
	who->tid = task->pid;
	who->request = t && !t->answered ? t->request : 0;
	bpf_probe_read_kernel(who->name, sizeof(who->name), task->comm);
	return 0;
}

static __always_inline void switch_in(struct task_struct *task, struct task_struct *before)
{
	struct thread *t = observed_thread(task->pid);
	u64 now, until;

	if (!t || t->state == RUNNING)
		return;
	now = bpf_ktime_get_ns();
	until = runnable_since(task, t, now);
	if (now - until >= LONG_WAIT_NS / 2 && before->pid)
		note_who(&t->ahead, before);
	book_wait(t, until, now);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempted, struct task_struct *prev, struct task_struct *next, unsigned int state)
{
	if (prev->pid)
		switch_out(ctx, prev, preempted, state);
	if (next->pid)
		switch_in(next, prev);
	return 0;
}

/* Where in its code is the thread that ends a wait, if it runs a Python that is watched? */
static __noinline int tell_waker_place(struct thread *t, u64 now)
{
	struct task_struct *current = bpf_get_current_task_btf();
	u32 pid = current->tgid;
	struct target *target = bpf_map_lookup_elem(&targets, &pid);
	struct stack_scratch *s = stack_scratch();

	if (!target || !s || (t->answered && !t->target.streams))
		return 0;
	s->stack.pid = pid;
	s->stack.tid = current->pid;
	walk_python(&target->python, s, &s->stack);
	emit_stack(t, &s->stack, WOKE, now);
	return 0;
}

/* A thread that a lane gives work to. It does not run: nobody else writes its entry now. */
static __noinline struct thread *new_worker(struct task_struct *task, const struct target *target, u64 now)
{
	struct thread *t = thread_of(task->tgid, task->pid);

	if (!t)
		return NULL;
	t->lane = WORKER_LANE;
	t->kept_ns = 0;
	t->request = 0;
	t->answered = 0;
	t->parked = 0;
	t->target = *target;
	t->state = BLOCKED;
	t->bucket = LOCK;
	t->since_ns = now;
	return t;
}

/* `current` ended a wait of a request for a lock, and serves none itself: from here on its own long waits are told, for
 * a while. So are those of whom it waits for, as long. */
static __noinline int keep_in_sight(const struct thread *victim, u64 now)
{
	u64 ids = bpf_get_current_pid_tgid();
	u32 pid = ids >> 32, tid = ids;
	struct target *target = bpf_map_lookup_elem(&targets, &pid);
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);
	u64 kept_ns = is_keeper(victim) ? victim->kept_ns : now;

	if (!target || (t && (t->request || t->lane)))
		return 0;
	if (!t && bpf_map_lookup_elem(&epoll_waiters, &tid))
		return 0;
	if (!t)
		t = thread_of(pid, tid);
	if (!t)
		return 0;
	if (!t->kept_ns) {
		t->target = *target;
		t->answered = t->parked = t->pending.size = 0;
		t->state = RUNNING;
		t->since_ns = now;
	}
	if (kept_ns > t->kept_ns)
		t->kept_ns = kept_ns;
	return 0;
}

static __noinline int note_waker(struct thread *t, struct task_struct *task, u64 now)
{
	struct task_struct *current = bpf_get_current_task_btf();

	t->woken_by.pid = 0;
	t->woken_by_child = 0;
	if (in_interrupt() || current->flags & PF_KTHREAD)
		return 0;
	t->woken_by_child = current->tgid != task->tgid && current->real_parent->tgid == task->tgid;
	note_who(&t->woken_by, current);
	if (t->bucket == LOCK && !t->answered && !t->handed_ns && current->tgid == task->tgid && now - t->since_ns >= LONG_WAIT_NS)
		keep_in_sight(t, now);
	return tell_waker_place(t, now);
}

/* Does it wait for a lock that is not the interpreter's? Asked of a thread that is not `current`. */
static __noinline bool waits_for_lock(struct task_struct *task, const struct target *target)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs((void *)task);
	s32 call = CALL_NUMBER(regs);
	u64 futex = CALL_ARG1(regs);

	if (call < 0 || class_of(call) != CALL_FUTEX)
		return false;
	return futex < target->gil_start || futex >= target->gil_end;
}

static __noinline bool writes_to_socket(void)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
	s32 call = CALL_NUMBER(regs);
	u32 class = call < 0 ? CALL_OTHER : class_of(call);

	return class >= CALL_WRITE && class <= CALL_SENDFILE && socket_of(file_of(CALL_ARG1(regs)));
}

/* Woken before it slept: it goes on at once, and no switch tells of that. */
static __always_inline bool still_runs(struct task_struct *task)
{
	return task->on_rq && !(bpf_core_field_exists(task->se.sched_delayed) && task->se.sched_delayed);
}

/* A lane wakes another thread of its process: it hands work to one that waited for it, or tells an event loop (which is
 * known already where it does so by a socket). */
static __noinline int hand_over(struct thread *from, struct task_struct *task)
{
	u64 now = bpf_ktime_get_ns();
	struct told told = { .other = task->pid };
	u32 tid = task->pid, pid = task->tgid;
	struct target *target = bpf_map_lookup_elem(&targets, &pid);
	struct thread *t = followed_thread(tid);

	if (!target || (t && t->lane != WORKER_LANE && !t->idles))
		return 0;
	if (t && t->idles) {
		if (from->lane == WORKER_LANE && !writes_to_socket()) {
			book_running(from, now);
			tell_step(from, STEP_NOTIFIED, now, &told);
		}
		return 0;
	}
	if (!waits_for_lock(task, target))
		return 0;
	told.bytes = still_runs(task) && (!t || t->state == RUNNING);
	if (t)
		t->handed_by = from->lane; /* of one that is new nobody knows since when it has waited, and where */
	else
		t = new_worker(task, target, now);
	if (!t)
		return 0;
	if (told.bytes)
		t->state = RUNNING;
	else
		t->handed_ns = now;
	book_running(from, now);
	return tell_step(from, STEP_HANDED, now, &told);
}

/* Who ends the wait: `current` released what this thread waited for, unless it only happened to be interrupted. Of a
 * short wait nobody asks, and what is not written here costs the two CPUs no cache line. */
SEC("tp_btf/sched_waking")
int BPF_PROG(on_waking, struct task_struct *task)
{
	struct task_struct *current = bpf_get_current_task_btf();
	struct thread *t = observed_thread(task->pid), *from = followed_thread(current->pid);
	u64 now;

	if (from && from->lane && from->lane != STREAM_LANE && current->tgid == task->tgid && current->pid != task->pid && !in_interrupt())
		hand_over(from, task);
	if (!t)
		return 0;
	now = bpf_ktime_get_ns();
	if (now - t->since_ns < LONG_WAIT_NS / 2)
		return 0;
	if (still_runs(task))
		return 0;
	note_waker(t, task, now);
	t->woken_ns = now;
	return 0;
}

static __noinline int mark_reclaim(bool begins)
{
	struct thread *t = followed_thread(bpf_get_current_pid_tgid());

	if (t)
		t->in_reclaim = begins;
	return 0;
}

SEC("tp_btf/mm_vmscan_direct_reclaim_begin")
int BPF_PROG(on_reclaim_begin)
{
	return mark_reclaim(true);
}

SEC("tp_btf/mm_vmscan_direct_reclaim_end")
int BPF_PROG(on_reclaim_end)
{
	return mark_reclaim(false);
}

SEC("tp_btf/mm_vmscan_memcg_reclaim_begin")
int BPF_PROG(on_group_reclaim_begin)
{
	return mark_reclaim(true);
}

SEC("tp_btf/mm_vmscan_memcg_reclaim_end")
int BPF_PROG(on_group_reclaim_end)
{
	return mark_reclaim(false);
}

/* At even distances of a CPU's time: the code that runs for a request. Attached where the stacks can be walked. */
SEC("perf_event")
int on_tick(void *context)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread *t = followed_thread(task->pid);
	struct stack_scratch *s = stack_scratch();

	if (!t || !s || (t->answered && !t->target.streams))
		return 0;
	s->stack.pid = t->pid;
	s->stack.tid = t->tid;
	s->stack.ip = USER_IP((struct pt_regs *)bpf_task_pt_regs((void *)task));
	walk_python(&t->target.python, s, &s->stack);
	emit_stack(t, &s->stack, RAN, bpf_ktime_get_ns());
	return 0;
}

#include "collector.bpf.h"

/* --- requests --------------------------------------------------------------------------------------------------- */

/* The user's buffer of the system call that is under way: where the bytes just read or written lie. */
static __noinline u64 payload(void)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
	s32 call = CALL_NUMBER(regs);
	u32 class = call < 0 ? CALL_OTHER : class_of(call);
	u64 at = CALL_ARG2(regs), vector = 0;

	if (class == CALL_READ || class == CALL_WRITE)
		return at;
	if (class == CALL_RECVMSG || class == CALL_SENDMSG) {
		bpf_probe_read_user(&vector, sizeof(vector), (void *)(at + 16)); /* msg_iov */
		at = vector;
	} else if (class != CALL_READV && class != CALL_WRITEV) {
		return 0;
	}
	bpf_probe_read_user(&vector, sizeof(vector), (void *)at); /* iov_base */
	return vector;
}

static __always_inline u32 unread_bytes(const struct sock *sk)
{
	const struct tcp_sock *tcp = AS(struct tcp_sock, sk);

	return sk->__sk_common.skc_family == AF_UNIX ? 0 : tcp->rcv_nxt - tcp->copied_seq;
}

#include "clearheads.bpf.h"
#include "calls.bpf.h"

static __noinline bool writes_one_piece(void)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
	s32 call = CALL_NUMBER(regs);

	return call >= 0 && class_of(call) == CALL_WRITE;
}

static __noinline int tell_request(struct request *r, u32 flags)
{
	u32 size = REQUEST_BYTES + (r->head_length & (HEAD_BYTES - 1));

	if (r->flags & FINAL)
		return 0;
	r->flags |= flags | FINAL;
	if (r->sent_bytes >= LARGE_BYTES && r->status[0])
		size = __builtin_offsetof(struct request, answer) + (r->answer_length & (ANSWER_BYTES - 1));
	if (bpf_ringbuf_output(&events, r, size, BPF_RB_NO_WAKEUP))
		count(LOST_REQUESTS);
	return 0;
}

static __noinline int finish(struct request *r, u32 flags)
{
	u64 connection = r->connection;

	tell_request(r, flags);
	return bpf_map_delete_elem(&requests, &connection);
}

#include "pipelined.bpf.h"
#include "http2.bpf.h"
#include "cleartext.bpf.h"

/* The end of a Unix socket is no event. */
static __always_inline bool is_closed(u64 connection, const struct request *r)
{
	const struct sock *sk = AS(struct sock, r->sock); /* may be gone or another's by now: the cookie tells */

	return sk->__sk_common.skc_cookie.counter != connection || sk->__sk_common.skc_state == TCP_CLOSE;
}

/* The thread turns to another request. The one before has ended, or both share the thread: an event loop. */
static __always_inline u32 leave_request(struct thread *t, u64 connection, u64 now)
{
	u64 before = t->connection;
	struct request *r;

	if (!t->request || before == connection)
		return 0;
	r = bpf_map_lookup_elem(&requests, &before);
	if (!r || r->id != t->request)
		return 0;
	if (is_answered(r)) {
		finish(r, 0);
		return 0;
	}
	if (is_closed(before, r)) {
		r->ended_ns = now;
		book_running(t, now);
		close_ledger(r, t);
		finish(r, ABORTED);
		return 0;
	}
	r->flags |= SHARED;
	return SHARED;
}

static __noinline int tell_read(struct thread *t, const struct request *r, u64 now, s64 length, u64 since)
{
	struct told told = { .connection = r->connection, .request = r->id, .since_ns = since, .bytes = length };

	told.other = line_hash(r);

	book_running(t, now);
	return tell_step(t, STEP_READ, now, &told);
}

/* More of a request that an event loop reads already. */
static __noinline int tell_more(struct request *r, u64 arrived, s64 length)
{
	struct told told = { .connection = r->connection, .request = r->id, .since_ns = arrived, .bytes = length };
	struct thread *t = followed_thread(bpf_get_current_pid_tgid());
	u64 now = bpf_ktime_get_ns();

	if (!t || !t->lane || !(r->flags & BY_STEPS))
		return 0;
	book_running(t, now);
	return tell_step(t, STEP_READ, now, &told);
}

/* It lets others answer what it reads: from this read on it is followed step by step, not only from its next wait for events. */
static __noinline int become_reader(struct thread *t, u64 now)
{
	if (t->parked || !t->request) { /* what it did since was not booked */
		__builtin_memset(&t->ledger, 0, sizeof(t->ledger));
		t->since_ns = now;
		t->state = RUNNING;
		t->parked = t->kept_ns = 0;
	}
	become_loop(t);
	return 0;
}

static __always_inline void start_request(
	const struct sock *sk, const struct target *target, u64 connection, u64 arrived, int length)
{
	u64 ids = bpf_get_current_pid_tgid(), now;
	struct thread *t = thread_of(ids >> 32, ids);
	struct scratch *s;
	struct request *r;
	u32 zero = 0;

	now = bpf_ktime_get_ns();

	s = bpf_map_lookup_elem(&scratches, &zero);
	if (!t || !s) {
		count(MAP_FULL);
		return;
	}
	r = &s->request; /* its head was read by the caller */
	if (t->hands_over && t->lane == NO_LANE)
		become_reader(t, now);
	r->flags = t->lane ? BY_STEPS : leave_request(t, connection, now);
	r->nth = r->waiting_from = r->waiting_to = r->is_stream = 0;
	r->size = sizeof(*r);
	r->kind = EVENT_REQUEST;
	r->id = __sync_fetch_and_add(&last_request, 1) + 1;
	r->connection = connection;
	r->pid = ids >> 32;
	r->tid = ids;
	r->arrived_ns = arrived;
	r->started_ns = now;
	r->ended_ns = 0;
	r->received_bytes = length;
	r->sent_bytes = 0;
	address_of(sk, false, &r->local);
	address_of(sk, true, &r->remote);
	if (t->lane) {
		__builtin_memset(&r->ledger, 0, sizeof(r->ledger));
	} else {
		__builtin_memset(&t->ledger, 0, sizeof(t->ledger));
		t->loops = 0;
		close_ledger(r, t);
	}
	__builtin_memset(r->status, 0, sizeof(r->status));
	r->sock = (u64)sk;
	if (bpf_map_update_elem(&requests, &connection, r, BPF_ANY)) {
		count(MAP_FULL);
		return;
	}
	t->connection = connection;
	t->target = *target;
	if (t->lane) {
		tell_read(t, r, now, length, r->arrived_ns);
		return;
	}
	t->since_ns = now;
	t->state = RUNNING;
	t->ahead.pid = 0;
	t->answered = 0;
	t->parked = 0;
	t->kept_ns = 0;
	t->pending.size = 0;
	t->request = r->id;
}

/* Reads the first bytes of what was received into the scratch request. */
static __always_inline struct request *read_head(u64 from, int length)
{
	u32 zero = 0, size = length < HEAD_BYTES ? length : HEAD_BYTES - 1;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &zero);

	if (!s)
		return NULL;
	s->request.head_length = 0;
	if (from && !bpf_probe_read_user(s->request.head, AT_MOST(HEAD_BYTES - 1, size), (void *)from))
		s->request.head_length = size;
	return &s->request;
}

/* How much lay there to be read: bursts between two looks at the queues are seen. */
static __always_inline void note_depth(const struct sock *sk, u32 read)
{
	u64 key = listener_key(sk, sk->__sk_common.skc_family);
	struct listener *listener = bpf_map_lookup_elem(&listeners, &key);
	u32 depth = read + unread_bytes(sk);

	if (listener && depth > listener->recv_q)
		listener->recv_q = depth;
}

/* A pair of nameless Unix sockets: by it threads wake an event loop. */
static __noinline int tell_pipe(u32 kind)
{
	struct thread *t = followed_thread(bpf_get_current_pid_tgid());
	struct told told = {};
	u64 now = bpf_ktime_get_ns();

	if (!t || t->lane != (kind == STEP_NOTICED ? LOOP_LANE : WORKER_LANE))
		return 0;
	book_running(t, now);
	return tell_step(t, kind, now, &told);
}

static __noinline int add_received(struct request *r, u32 length)
{
	r->received_bytes += length;
	return 0;
}

static __noinline int receive_more(struct request *r, u64 arrived, u64 from, u32 length)
{
	if (keep_waiting(r, arrived, from, length))
		return 0;
	keep_head(r, from, length);
	add_received(r, length);
	return tell_more(r, arrived, length);
}

/* Of a connection that is older than the attaching. No other begins with anything but a handshake. */
static __always_inline bool was_read_before(const struct sock *sk, u32 length)
{
	const struct tcp_sock *tcp = AS(struct tcp_sock, sk);

	return sk->__sk_common.skc_family == AF_UNIX || tcp->bytes_received > length + unread_bytes(sk) + 1; /* a FIN counts */
}

/* Does a request begin in what was read of a TLS connection? */
static __noinline bool begins_in_records(u64 connection, struct request *r, u64 from, u32 length, u64 *arrived)
{
	struct tls *tls = bpf_map_lookup_elem(&tls_connections, &connection);
	u32 passed;

	if (!tls)
		return false;
	if (*arrived && tls->phase == SHAKING)
		tls->arrived_ns = *arrived;
	passed = pass_records(tls, from, length, 0);
	note_ciphertext(connection);
	if (r && r->flags & FINAL && r->status[9] == '1')
		return false; /* a WebSocket's frames */
	if (r && r->flags & DOUBTFUL) /* those were tickets, then */
		r->flags &= ~(DOUBTFUL | ANSWERED);
	if (r && (!(r->flags & ANSWERED) || !(passed & BEGAN_DATA))) {
		add_received(r, length);
		return false;
	}
	if (!(passed & BEGAN_DATA))
		return false;
	if (tls->only_http_2 && !tls->is_read) { /* records tell no streams */
		tls->phase = LOST;
		return count(HTTP_2);
	}
	if (!*arrived) /* it came with the end of the handshake */
		*arrived = tls->arrived_ns;
	tls->arrived_ns = 0;
	return true;
}

/* Only a thread that runs no Python is one of gRPC's. */
static __noinline struct tls *meet_tls(
	const struct target *target, u64 connection, struct request *read, u64 from, u32 length)
{
	struct tls *tls = new_tls(connection, read->head[0]);

	if (!tls || !from || read->head[0] != HANDSHAKE)
		return tls;
	if (!runs_python(target))
		tls->only_http_2 = offers_only_http_2(from, length, read);
	return tls;
}

/* What is read begins neither HTTP/1 nor TLS. */
static __noinline int meet_other(
	const struct sock *sk, const struct target *target, u64 arrived, const struct request *read, u32 length)
{
	u64 connection = sk->__sk_common.skc_cookie.counter;
	struct http2 *h = NULL;

	if (begins_http_2(read->head) || was_read_before(sk, length))
		h = begin_http_2(sk, connection, arrived, read->head, read->head_length);
	return h ? received_http_2(h, target, arrived, length) : count(NOT_HTTP);
}

static __noinline int fail_to_receive(struct sock *sk, int error);

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_received, struct sock *sk, int length, int flags)
{
	u64 connection, arrived = 0, *unread, from;
	u32 pid = bpf_get_current_pid_tgid() >> 32, role;
	struct target *target = bpf_map_lookup_elem(&targets, &pid);
	struct request *r, *new;
	struct http2 *h;
	struct tls *tls;

	if (!target || flags & MSG_PEEK)
		return 0;
	if (length < 0)
		fail_to_receive(sk, length);
	if (length < 0 || sk->sk_type != SOCK_STREAM)
		return call_received(sk, length);
	role = role_of(sk);
	if (role == CONNECTED) {
		note_ciphertext(sk->__sk_common.skc_cookie.counter); /* it may be that */
		return call_received(sk, length);
	}
	if (role != ACCEPTED && (role != NO_ROLE || !learn_unix_listener(sk))) {
		if (role == NO_ROLE)
			tell_pipe(STEP_NOTICED);
		return 0;
	}
	connection = bpf_get_socket_cookie(sk);
	unread = bpf_map_lookup_elem(&arrivals, &connection);
	if (unread) {
		arrived = *unread;
		*unread = 0;
	}
	if (!length)
		return sk->__sk_common.skc_family == AF_UNIX ? close_http_2(connection) : 0; /* its end is no event */
	note_depth(sk, length);
	if (sk->sk_shutdown & SEND_SHUTDOWN)
		return 0; /* it is read to be thrown away */
	r = bpf_map_lookup_elem(&requests, &connection);
	h = r ? NULL : http2_of(connection);
	if (h) {
		if (h->in_the_dark)
			note_ciphertext(connection);
		return received_http_2(h, target, arrived, length);
	}
	from = payload();
	if (r && r->protocol == HTTP_1 && (!(r->flags & ANSWERED) || r->waiting_from != r->waiting_to))
		return receive_more(r, arrived, from, length); /* of its head, or its body, or the next one */
	tls = r && r->protocol == HTTP_1 ? NULL : bpf_map_lookup_elem(&tls_connections, &connection);
	new = read_head(from, length);
	if (!new)
		return 0;
	if (!tls && new->head_length && !begins_request(new->head, new->head_length)) {
		if (r && !(may_begin_request(new->head, new->head_length) && r->head[0] == 'G'))
			return add_received(r, length);
		if (r)
			; /* a client that sends byte by byte: after a GET there is no body */
		else if (begins_record(new->head, new->head_length) && (new->head[0] == HANDSHAKE || was_read_before(sk, length)))
			tls = meet_tls(target, connection, new, from, length);
		else if (!may_begin_request(new->head, new->head_length))
			return meet_other(sk, target, arrived, new, length);
	}
	new->protocol = tls ? TLS : HTTP_1;
	if (tls) {
		if (!begins_in_records(connection, r, from, length, &arrived))
			return r && !(r->flags & ANSWERED) ? tell_more(r, arrived, length) : 0;
		new->head_length = 0;
	}
	if (r)
		finish(r, 0);
	start_request(sk, target, connection, arrived, length);
	return 0;
}

/* An interim answer (100 Continue) does not end the waiting for the real one. */
static __always_inline bool is_interim(const char *status)
{
	return status[0] == 'H' && status[4] == '/' && status[8] == ' ' && status[9] == '1' && status[11] != '1';
}

static __noinline int tell_answer(struct thread *t, const struct request *r, u64 now, s64 length)
{
	struct told told = { .connection = r->connection, .request = r->id, .bytes = length };

	book_running(t, now);
	return tell_step(t, STEP_ANSWERED, now, &told);
}

/* The thread that reads requests lets others answer them: its next wait for events shows that it is an event loop. */
static __always_inline void mark_reader(u32 tid)
{
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);

	if (t)
		t->hands_over = 1;
}

/* More is sent on a connection whose request has been answered: is that another answer, or a stream of events? */
static __noinline bool is_over(struct request *r, struct thread *t, u64 from, u64 now)
{
	char status[STATUS_BYTES] = {};

	if (from)
		bpf_probe_read_user(status, sizeof(status), (void *)from);
	if (begins_answer(status) && (is_cut(r) || has_next(r))) { /* what is cut may have held another */
		follow_on(r, t, now);
		if (r->flags & BY_STEPS && t && t->lane)
			tell_read(t, r, now, 0, r->started_ns); /* before, it waited */
	} else if (now - r->ended_ns > STREAM_PAUSE_NS && is_event_stream(r)) {
		tell_request(r, 0);
	}
	return r->flags & FINAL;
}

/* A thread that nobody was seen to give work to answers what another one read: it is its worker, has had work ever since,
 * and is followed from here on. Nothing is known of what it did so far. */
static __noinline struct thread *worker_that_answers(u64 now)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 pid = task->tgid;
	struct target *target = bpf_map_lookup_elem(&targets, &pid);
	struct thread *t = target ? new_worker(task, target, now) : NULL;

	if (t)
		t->state = RUNNING;
	return t;
}

static __always_inline void answer(struct request *r, int length)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);
	u64 now = bpf_ktime_get_ns(), from = r->protocol == TLS ? 0 : payload();

	if (r->flags & ANSWERED && is_over(r, t, from, now))
		return;
	r->sent_bytes += length;
	if (!(r->flags & ANSWERED)) {
		if (from)
			read_answer(r, from, length);
		if (is_interim(r->status))
			return;
		r->flags |= ANSWERED;
	}
	if (from)
		note_ending(r, from, length);
	r->ended_ns = now;
	if (r->flags & BY_STEPS && !t)
		t = worker_that_answers(now);
	if (r->flags & BY_STEPS && t && t->lane) {
		tell_answer(t, r, now, length);
	} else if (r->tid != tid || !t) {
		r->flags |= SEVERAL;
		mark_reader(r->tid);
		if (!t || !(t->lane || t->request))
			worker_that_answers(now);
	} else if (t->request != r->id) {
		r->flags |= SHARED;
	} else {
		if (t->parked)
			unpark(t, now);
		book_running(t, now);
		emit_wait(t);
		close_ledger(r, t);
		t->answered = !(r->flags & DOUBTFUL);
		t->has_next = has_next(r);
	}
	if (r->status[9] == '1') /* 101: from here on the connection speaks another protocol */
		tell_request(r, 0);
}

static __noinline int abort_request(struct request *r)
{
	u32 tid = bpf_get_current_pid_tgid(), server = r->tid;
	struct thread *t = bpf_map_lookup_elem(&threads, &server);
	u64 now = bpf_ktime_get_ns();

	r->ended_ns = now;
	if (t && t->request == r->id) {
		if (server == tid)
			book_running(t, now);
		close_ledger(r, t);
		t->request = 0;
	}
	return finish(r, ABORTED);
}

static __noinline int fail_to_receive(struct sock *sk, int error)
{
	u64 connection = sk->__sk_common.skc_cookie.counter;
	struct request *r = bpf_map_lookup_elem(&requests, &connection);

	if (r && !(r->flags & (ANSWERED | FINAL)) && error != -EAGAIN && error != -EINTR)
		abort_request(r);
	return 0;
}

/* Of what is sent over TLS: do data of the application begin in it, or go on? */
static __noinline bool sends_answer(u64 connection, u32 length, struct request *r)
{
	struct tls *tls = bpf_map_lookup_elem(&tls_connections, &connection);
	u32 passed;

	if (!tls)
		return r;
	passed = pass_records(tls, payload(), length, 1);
	if (!r)
		return false;
	if (passed & ONLY_TICKETS && r->head_length && !r->status[0])
		return false; /* nothing else was written yet */
	if (passed & ONLY_TICKETS && !(r->flags & ANSWERED))
		r->flags |= DOUBTFUL;
	else if (passed & BEGAN_DATA)
		r->flags &= ~DOUBTFUL;
	return passed & (BEGAN_DATA | WENT_ON);
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_sent, struct sock *sk, int length, int flags)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct target *target = bpf_map_lookup_elem(&targets, &pid);
	u64 connection;
	struct request *r;
	struct http2 *h;

	if (!length || !target)
		return 0;
	connection = sk->__sk_common.skc_cookie.counter;
	r = bpf_map_lookup_elem(&requests, &connection);
	if (!r && sk->__sk_common.skc_family == AF_UNIX && role_of(sk) == NO_ROLE)
		return tell_pipe(STEP_NOTIFIED);
	h = r ? NULL : http2_of(connection);
	if (h)
		return length > 0 ? sent_http_2(h, target, length) : 0;
	if (length > 0 && (!r || r->protocol == TLS) && !sends_answer(connection, length, r) && r)
		return 0;
	if (!r)
		return call_sent(sk, length);
	if (r->flags & FINAL)
		return 0;
	if (length > 0)
		answer(r, length);
	else if (length != -EAGAIN && length != -EINTR)
		abort_request(r); /* the client has gone */
	return 0;
}

SEC("tp_btf/sk_data_ready")
int BPF_PROG(on_arrived, const struct sock *sk)
{
	u64 key = listener_key(sk, sk->__sk_common.skc_family), connection, now, *unread;
	struct listener *listener = key ? bpf_map_lookup_elem(&listeners, &key) : NULL;

	if (sk->__sk_common.skc_family == AF_UNIX && sk->__sk_common.skc_state == TCP_LISTEN)
		note_unix_connect(sk, bpf_ktime_get_ns());
	if (!listener) {
		call_arrived(sk);
		return 0;
	}
	if (sk->__sk_common.skc_state == TCP_LISTEN) {
		if (listener->sock != (u64)sk)
			return 0; /* another's, at the same port of another address or network */
		listener->backlog_max = sk->sk_max_ack_backlog;
		if (sk->sk_ack_backlog > listener->backlog)
			listener->backlog = sk->sk_ack_backlog;
		return 0;
	}
	now = bpf_ktime_get_ns();
	connection = bpf_get_socket_cookie((void *)sk);
	unread = bpf_map_lookup_elem(&arrivals, &connection);
	if (!unread)
		bpf_map_update_elem(&arrivals, &connection, &now, BPF_NOEXIST);
	else if (!*unread)
		*unread = now;
	return 0;
}

static __always_inline bool client_has_left(const struct sock *sk, int before, int state)
{
	return before == TCP_CLOSE_WAIT || (state == TCP_CLOSE && (sk->sk_err == ECONNRESET || sk->sk_err == EPIPE));
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_tcp_state, struct sock *sk, int before, int state)
{
	u64 connection = sk->__sk_common.skc_cookie.counter;
	struct request *r;

	if (state == TCP_LISTEN && is_target(bpf_get_current_pid_tgid() >> 32))
		add_listener(sk);
	else if (before == TCP_LISTEN)
		remove_listener(sk);
	else if (state == TCP_SYN_SENT && is_target(bpf_get_current_pid_tgid() >> 32))
		call_connecting(sk);
	else
		call_changed(sk, before, state);
	if (!connection || (state != TCP_FIN_WAIT1 && state != TCP_LAST_ACK && state != TCP_CLOSE))
		return 0;
	bpf_map_delete_elem(&arrivals, &connection);
	bpf_map_delete_elem(&tls_connections, &connection);
	close_http_2(connection);
	r = bpf_map_lookup_elem(&requests, &connection);
	if (!r)
		return 0;
	if (r->flags & ANSWERED && client_has_left(sk, before, state) && is_cut_off(r))
		finish(r, ABORTED);
	else if (r->flags & ANSWERED && state == TCP_CLOSE && sk->sk_err == EPIPE && r->protocol == HTTP_1)
		finish(r, ABORTED); /* it was sent to one who had closed before */
	else if (r->flags & ANSWERED && state == TCP_CLOSE && sk->sk_err == ECONNRESET)
		r->flags |= RESET; /* should its thread want to send more, it was not all */
	else if (r->flags & ANSWERED)
		finish(r, 0);
	else if (!in_interrupt() && bpf_get_current_pid_tgid() >> 32 == r->pid)
		abort_request(r);
	else if (!(r->flags & RESET)) { /* its thread does not know yet, and works on */
		r->flags |= RESET;
		r->ended_ns = bpf_ktime_get_ns();
	}
	return 0;
}

/* --- processes -------------------------------------------------------------------------------------------------- */

static __noinline int forget_thread(u32 tid)
{
	if (!bpf_map_delete_elem(&threads, &tid))
		__sync_fetch_and_add(&followed[tid & (FOLLOWED - 1)], -1);
	return 0;
}

static __noinline int tell_process(u32 kind, u32 pid, u32 parent)
{
	struct process event = {
		.size = sizeof(event), .kind = kind, .at_ns = bpf_ktime_get_ns(), .pid = pid, .parent = parent,
	};

	if (bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_NO_WAKEUP))
		count(LOST_WAITS);
	return 0;
}

/* A lane starts a thread: what that does first is for the same request. */
static __noinline int start_worker(struct thread *from, struct task_struct *task, const struct target *target)
{
	u64 now = bpf_ktime_get_ns();
	struct told told = { .other = task->pid };
	struct thread *t = new_worker(task, target, now);

	if (!t)
		return 0;
	t->handed_ns = now;
	book_running(from, now);
	return tell_step(from, STEP_HANDED, now, &told);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 from = parent->tgid, pid = child->tgid;
	struct target *target, copy;
	struct thread *starter;

	target = bpf_map_lookup_elem(&targets, &from);
	if (!target)
		return 0;
	if (from == pid) {
		starter = followed_thread(parent->pid);
		if (starter && starter->lane && starter->lane != STREAM_LANE)
			start_worker(starter, child, target);
		return 0;
	}
	copy = *target; /* a fork has its parent's interpreter at its parent's addresses */
	if (bpf_map_update_elem(&targets, &pid, &copy, BPF_ANY))
		count(MAP_FULL);
	else
		tell_process(EVENT_FORK, pid, from);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *binary)
{
	u32 pid = task->tgid;
	struct target *target = bpf_map_lookup_elem(&targets, &pid);

	if (!target)
		return 0;
	forget_thread(old_pid);
	target->gil_start = 0; /* user space looks for the new interpreter */
	target->gil_end = 0;
	tell_process(EVENT_EXEC, pid, 0);
	return 0;
}

/* A lane ends, and with it what it did for a request. */
static __noinline int tell_end(struct thread *t)
{
	struct told told = {};
	u64 now = bpf_ktime_get_ns();

	book_running(t, now);
	return tell_step(t, STEP_RESTED, now, &told);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	u32 tid = task->pid, pid = task->tgid;
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);
	struct request *r;
	u64 connection;

	if (t) {
		if (t->lane)
			tell_end(t);
		connection = t->connection;
		r = t->request ? bpf_map_lookup_elem(&requests, &connection) : NULL;
		if (r && r->id == t->request && is_answered(r)) {
			finish(r, 0);
		} else if (r && r->id == t->request) {
			r->ended_ns = bpf_ktime_get_ns();
			book_running(t, r->ended_ns);
			close_ledger(r, t);
			finish(r, DIED);
		}
		forget_thread(tid);
	}
	if (!task->signal->live.counter && is_target(pid)) {
		tell_process(EVENT_EXIT, pid, 0);
		bpf_map_delete_elem(&targets, &pid);
	}
	return 0;
}

/* --- what was there before -------------------------------------------------------------------------------------- */

SEC("iter/task_file")
int find_listeners(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct sock *sk;

	if (!ctx->task || !file)
		return 0;
	sk = socket_of(file);
	if (sk && sk->__sk_common.skc_state == TCP_LISTEN && sk->sk_type == SOCK_STREAM)
		add_listener(sk);
	return 0;
}
