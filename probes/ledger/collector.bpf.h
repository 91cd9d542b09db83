/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * The garbage collector's runs: where it starts and ends is told by probes in the interpreter, which generation it was by
 * what it counts itself. A call in which it counts nothing found nothing to do.
 */
#pragma once

#define GENERATIONS 3

struct collections { /* struct gc_generation_stats of each generation */
	struct {
		u64 collections;
		u64 collected;
		u64 uncollectable;
	} of[GENERATIONS];
};

struct run { /* under way */
	u64 started_ns;
	u64 on_cpu_ns; /* of its thread's ledger, then */
	u64 request;   /* 0: none is followed */
	u32 lane;      /* of a thread that is followed by steps: whose the step is, user space knows */
	struct collections before;
};

struct { /* by tid */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct run);
} runs SEC(".maps");

/* Not booked, for a switch that books may come in between: only looked up. Where the last switch-in went unseen, what
 * the thread has run since is left out. */
static __always_inline u64 on_cpu_until_now(const struct thread *t)
{
	u64 since, on_cpu = 0;

	for (u32 tries = 0; tries < 2; tries++) {
		since = READ_ONCE(t->since_ns);
		on_cpu = READ_ONCE(t->ledger.booked[ON_CPU]);
		if (READ_ONCE(t->state) == RUNNING)
			on_cpu += bpf_ktime_get_ns() - since;
		if (since == READ_ONCE(t->since_ns))
			break;
	}
	return on_cpu;
}

static __always_inline u64 ran_since(const struct thread *t, const struct run *run, u64 paused)
{
	u64 on_cpu = on_cpu_until_now(t), ran = on_cpu > run->on_cpu_ns ? on_cpu - run->on_cpu_ns : 0;

	return ran < paused ? ran : paused;
}

static __always_inline bool read_collections(u32 pid, struct collections *to)
{
	struct target *target = bpf_map_lookup_elem(&targets, &pid);

	return target && target->python.collections &&
	       !bpf_probe_read_user(to, sizeof(*to), (void *)target->python.collections);
}

SEC("uprobe")
int on_gc_start(struct pt_regs *regs)
{
	struct run run = { .started_ns = bpf_ktime_get_ns() };
	u64 ids = bpf_get_current_pid_tgid();
	u32 tid = ids;
	struct thread *t = followed_thread(tid);

	if (!read_collections(ids >> 32, &run.before))
		return 0;
	if (t && (t->lane || !t->answered)) {
		run.lane = t->lane;
		run.request = t->lane ? 0 : t->request;
		run.on_cpu_ns = on_cpu_until_now(t);
	}
	bpf_map_update_elem(&runs, &tid, &run, BPF_ANY);
	return 0;
}

/* Which generation was collected since then; GENERATIONS: none. */
static __always_inline u32 collected_since(const struct run *run, u32 pid, u64 *objects)
{
	struct collections now;

	if (!read_collections(pid, &now))
		return GENERATIONS;
	for (u32 i = 0; i < GENERATIONS; i++) {
		*objects = now.of[i].collected - run->before.of[i].collected;
		if (now.of[i].collections != run->before.of[i].collections)
			return i;
	}
	return GENERATIONS;
}

SEC("uprobe")
int on_gc_done(struct pt_regs *regs)
{
	u64 ids = bpf_get_current_pid_tgid();
	u32 tid = ids;
	struct run *run = bpf_map_lookup_elem(&runs, &tid);
	struct thread *t = followed_thread(tid);
	struct pause pause = { .size = sizeof(pause), .kind = EVENT_GC, .pid = ids >> 32, .tid = tid };

	if (!run)
		return 0;
	pause.started_ns = run->started_ns;
	pause.ended_ns = bpf_ktime_get_ns();
	if (t && t->lane == run->lane && (run->lane || (run->request && t->request == run->request))) {
		pause.request = run->request;
		pause.is_followed = 1;
		pause.cpu_ns = ran_since(t, run, pause.ended_ns - pause.started_ns);
	}
	pause.generation = collected_since(run, pause.pid, &pause.collected);
	bpf_map_delete_elem(&runs, &tid);
	if (pause.generation >= GENERATIONS)
		return 0;
	if (t && pause.is_followed)
		t->ledger.booked[GC] += pause.cpu_ns;
	if (bpf_ringbuf_output(&events, &pause, sizeof(pause), BPF_RB_NO_WAKEUP))
		count(LOST_PAUSES);
	return 0;
}
