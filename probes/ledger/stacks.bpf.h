/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * What Python code is `current` in? Its frames are walked in its own memory, by offsets that user space knows of its
 * interpreter. Only where interrupts are off (the scheduler's tracepoints, a timer): the scratch space is one a CPU.
 */
#pragma once

#define FRAME_SPACE 128 /* a power of two; no interpreter's frame needs more */
#define MAX_PYTHON_THREADS 1024
#define SEARCH_AGAIN_NS 10000000
#define OWNED_BY_C 3 /* a frame that only marks where C called Python (3.12) */

struct python_thread {
	u64 state; /* its PyThreadState; 0: none was found */
	u64 found_ns;
};

struct { /* by tid; checked at each use */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, struct python_thread);
} python_threads SEC(".maps");

struct stack_scratch {
	struct stack stack;
	u8 frame[2 * FRAME_SPACE]; /* what is read of one frame, and room for any offset in it */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct stack_scratch);
} stack_scratches SEC(".maps");

static __always_inline struct stack_scratch *stack_scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&stack_scratches, &zero);
}

static __always_inline u64 user_word(u64 address)
{
	u64 value = 0;

	bpf_probe_read_user(&value, sizeof(value), (void *)address);
	return value;
}

static __always_inline u64 newest_frame(const struct python *python, u64 state)
{
	u64 frame = user_word(state + python->frame);

	return python->has_cframe && frame ? user_word(frame + python->cframe_frame) : frame;
}

struct search {
	const struct python *python;
	u64 id;
	u64 state;
	u64 frame; /* 0: not found yet */
};

/* A thread that is only just being started bears the id of its parent, and has no frame yet. */
static long search_thread(u32 i, struct search *s)
{
	if (!s->state)
		return 1;
	if (user_word(s->state + s->python->thread_id) == s->id)
		s->frame = newest_frame(s->python, s->state);
	if (s->frame)
		return 1;
	s->state = user_word(s->state + s->python->thread_next);
	return 0;
}

/* The frame that `current` executes; new threads stand at the head of the interpreter's list. */
static __noinline u64 python_frame(const struct python *python)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct search s = { .python = python, .id = THREAD_POINTER(task) };
	struct python_thread thread = {};
	struct python_thread *known;
	u64 now = bpf_ktime_get_ns();
	u32 tid = task->pid;

	known = bpf_map_lookup_elem(&python_threads, &tid);
	if (known && known->state && user_word(known->state + python->thread_id) == s.id)
		s.frame = newest_frame(python, known->state);
	if (s.frame)
		return s.frame;
	if (known && !known->state && now - known->found_ns < SEARCH_AGAIN_NS)
		return 0;
	s.state = user_word(python->interpreter + python->threads_head);
	bpf_loop(MAX_PYTHON_THREADS, search_thread, &s, 0);
	thread.state = s.frame ? s.state : 0;
	thread.found_ns = now;
	bpf_map_update_elem(&python_threads, &tid, &thread, BPF_ANY);
	return s.frame;
}

static __always_inline bool runs_python(const struct target *target)
{
	return target->python.interpreter && python_frame(&target->python);
}

struct walk {
	const struct python *python;
	struct stack_scratch *scratch;
	struct stack *to;
	u64 frame;
	u32 count;
};

static __always_inline u64 word_at(const struct stack_scratch *s, u32 offset)
{
	return *(u64 *)(s->frame + (offset & (FRAME_SPACE - 1)));
}

static long walk_frame(u32 i, struct walk *w)
{
	const struct python *python = w->python;
	struct stack_scratch *s = w->scratch;
	u32 count = w->count;
	u64 at;

	if (!w->frame || count >= FRAMES)
		return 1;
	if (bpf_probe_read_user(s->frame, python->frame_bytes & (FRAME_SPACE - 1), (void *)w->frame))
		return 1;
	w->frame = word_at(s, python->back);
	if (python->owner && s->frame[python->owner & (FRAME_SPACE - 1)] == OWNED_BY_C)
		return 0;
	at = word_at(s, python->at);
	w->to->frames[count].code = word_at(s, python->code);
	w->to->frames[count].at = python->at_is_int ? (u32)at : at;
	w->count = count + 1;
	return 0;
}

/* Fills the frames of a stack with those of `current`, the innermost first. */
static __always_inline void walk_python(const struct python *python, struct stack_scratch *s, struct stack *to)
{
	struct walk w = { .python = python, .scratch = s, .to = to };

	to->frame_count = 0;
	if (!python->interpreter)
		return;
	w.frame = python_frame(python);
	bpf_loop(FRAMES + FRAMES / 2, walk_frame, &w, 0); /* some only mark where C called */
	to->frame_count = w.count;
}

static __always_inline long send_stack(struct stack *stack)
{
	u32 count = stack->frame_count;

	if (!count)
		return 0;
	if (count > FRAMES)
		count = FRAMES;
	stack->kind = EVENT_STACK;
	stack->size = sizeof(*stack);
	return bpf_ringbuf_output(&events, stack, sizeof(*stack) - sizeof(stack->frames) + count * sizeof(struct frame),
				  BPF_RB_NO_WAKEUP);
}
