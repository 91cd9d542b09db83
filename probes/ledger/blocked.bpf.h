/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * What is this thread about to block on? Asked at the switch-out, while it is still `current`: its saved registers give
 * the system call and its arguments, so no system-call tracepoint is needed.
 */
#pragma once

#define MAX_POLLED 8      /* as many descriptors of a poll are looked at */
#define EPOLL_NODES 16    /* and one less of an epoll: four levels, which seven may need */
#define MAX_SELECTED 1024 /* select itself ends there */

struct { /* enum call_class by system call number, which differs per architecture; filled by user space */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 512);
	__type(key, u32);
	__type(value, u8);
} call_classes SEC(".maps");

static __always_inline u32 class_of(s32 call)
{
	u32 number = call;
	u8 *class = bpf_map_lookup_elem(&call_classes, &number);

	return class ? *class : CALL_OTHER;
}

/* The functions that are not static are verified once, by themselves, not anew on each path that calls them. */

/* Of the socket that the thread's `looked_at` says (it cannot be an argument). Also says who the peer is, when it is one
 * that the process connected to itself. */
__noinline u32 socket_bucket(struct thread *t, u32 writing)
{
	const struct sock *sk;
	u32 role;

	if (!t)
		return OTHER;
	sk = AS(struct sock, t->looked_at);
	role = role_of(sk);
	t->watched++;
	if (role == LISTENING)
		t->saw |= SAW_LISTENER;
	else if (role == ACCEPTED)
		t->saw |= sk->__sk_common.skc_cookie.counter == t->connection ? SAW_OWN : SAW_OTHERS;
	if (t->saw & (SAW_LISTENER | SAW_OTHERS))
		t->loops = 1; /* who serves one request at a time does not wait for another meanwhile */
	if (role == ACCEPTED)
		return writing ? SEND : RECEIVE;
	if (role != CONNECTED)
		return OTHER;
	address_of(sk, true, &t->peer);
	return CALLS;
}

static __always_inline u32 file_bucket(struct thread *t, struct file *file, u32 writing)
{
	struct sock *sk = socket_of(file);

	t->looked_at = (u64)sk;
	return sk ? socket_bucket(t, writing) : OTHER;
}

__noinline u32 fd_bucket(struct thread *t, u32 fd, u32 writing)
{
	return t ? file_bucket(t, file_of(fd), writing) : OTHER;
}

/* Of several sockets a wait for a peer tells most; then the request's own connection. */
static __always_inline u32 more_telling(u32 a, u32 b)
{
	return a == CALLS || b == OTHER ? a : b;
}

struct watch { /* what a loop over watched descriptors carries along */
	struct thread *thread;
	u64 at;
	u64 word;
	u32 writing;
	u32 bucket;
};

struct tree { /* of an epoll: its upper levels, as a heap */
	struct thread *thread;
	u64 nodes[EPOLL_NODES];
	u32 bucket;
};

static long watch_poll(u32 i, struct watch *w)
{
	struct { int fd; short events, revents; } polled;

	if (bpf_probe_read_user(&polled, sizeof(polled), (void *)(w->at + i * sizeof(polled))))
		return 1;
	w->bucket = more_telling(fd_bucket(w->thread, polled.fd, !(polled.events & POLLIN)), w->bucket);
	return 0;
}

static __always_inline u32 poll_bucket(struct thread *t, u64 fds, u32 count)
{
	struct watch w = { .thread = t, .at = fds, .bucket = OTHER };

	if (!count)
		return SLEEP;
	if (count > MAX_POLLED)
		t->loops = 1;
	bpf_loop(count < MAX_POLLED ? count : MAX_POLLED, watch_poll, &w, 0);
	return w.bucket;
}

static long watch_bit(u32 fd, struct watch *w)
{
	if (fd % 64 == 0 && bpf_probe_read_user(&w->word, sizeof(w->word), (void *)(w->at + fd / 8)))
		return 1;
	if (!(w->word & (1ULL << (fd % 64))))
		return 0;
	w->bucket = more_telling(fd_bucket(w->thread, fd, w->writing), w->bucket);
	return 0;
}

static __always_inline u32 select_bucket(struct thread *t, u32 count, u64 reads, u64 writes)
{
	struct watch w = { .thread = t, .at = reads, .bucket = OTHER };

	if (!count || (!reads && !writes))
		return SLEEP;
	count = count < MAX_SELECTED ? count : MAX_SELECTED;
	if (reads)
		bpf_loop(count, watch_bit, &w, 0);
	w.at = writes;
	w.writing = 1;
	if (writes)
		bpf_loop(count, watch_bit, &w, 0);
	return w.bucket;
}

static long watch_epoll(u32 i, struct tree *tree)
{
	struct rb_node *node;

	node = AS(struct rb_node, tree->nodes[i & (EPOLL_NODES - 1)]);
	if (!node)
		return 0;
	if (i < EPOLL_NODES / 2 - 1) {
		tree->nodes[(2 * i + 1) & (EPOLL_NODES - 1)] = (u64)node->rb_left;
		tree->nodes[(2 * i + 2) & (EPOLL_NODES - 1)] = (u64)node->rb_right;
	} else if (node->rb_left || node->rb_right) {
		tree->thread->loops = 1; /* so many are watched by none but an event loop */
	}
	tree->bucket = more_telling(file_bucket(tree->thread, AS(struct epitem, node)->ffd.file, 0), tree->bucket);
	if (tree->bucket == RECEIVE)
		tree->thread->loops = 1; /* a blocking server reads its own connection, and does not watch it */
	return 0;
}

static __always_inline u32 epoll_bucket(struct thread *t, u32 fd)
{
	struct file *file = file_of(fd);
	struct tree tree = { .thread = t, .bucket = OTHER };

	if (t->lane == LOOP_LANE && t->loop_file == (u64)file) {
		t->idles = 1;
		return OTHER;
	}
	tree.nodes[0] = (u64)AS(struct eventpoll, file->private_data)->rbr.rb_root.rb_node;
	if (!tree.nodes[0]) /* it watches nothing: a timer */
		return SLEEP;
	bpf_loop(EPOLL_NODES - 1, watch_epoll, &tree, 0);
	if ((t->saw & (SAW_OWN | SAW_OTHERS) && t->watched > 1) || (t->saw && t->lane == LOOP_LANE) ||
	    (t->saw & (SAW_LISTENER | SAW_OTHERS) && t->request && !t->answered)) {
		t->idles = 1;
		t->loop_file = (u64)file;
	}
	return tree.bucket;
}

static __always_inline bool is_stored_file(u32 fd)
{
	struct file *file = file_of(fd);
	u32 type = file->f_inode->i_mode & S_IFMT;

	return type == S_IFREG || type == S_IFDIR || type == S_IFBLK;
}

/* Block I/O, the journal, a fault. `in_iowait` is not set while a journalled fsync waits for its journal. */
static __always_inline u32 uninterruptible_bucket(s32 call, u32 class, u64 arg1)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (call < 0)
		return FAULT;
	if (BPF_CORE_READ_BITFIELD(task, in_iowait) || class == CALL_FILE)
		return DISK;
	if (class >= CALL_READ && class <= CALL_SENDFILE && is_stored_file(arg1))
		return DISK;
	return class == CALL_WAIT ? CHILD : OTHER; /* vfork waits for the child to execute */
}

static __always_inline u32 interruptible_bucket(struct thread *t, u32 class, u64 arg1, u64 arg2, u64 arg3)
{
	switch (class) {
	case CALL_FUTEX:
		t->futex = arg1;
		return arg1 >= t->target.gil_start && arg1 < t->target.gil_end ? GIL : LOCK;
	case CALL_LOCK:
		return LOCK;
	case CALL_SLEEP:
		return SLEEP;
	case CALL_WAIT:
		return CHILD;
	case CALL_POLL:
		return poll_bucket(t, arg1, arg2);
	case CALL_SELECT:
		return select_bucket(t, arg1, arg2, arg3);
	case CALL_EPOLL:
		return epoll_bucket(t, arg1);
	case CALL_READ:
	case CALL_READV:
	case CALL_RECVMSG:
		return fd_bucket(t, arg1, 0);
	case CALL_WRITE:
	case CALL_WRITEV:
	case CALL_SENDMSG:
	case CALL_SENDFILE:
	case CALL_CONNECT:
		return fd_bucket(t, arg1, 1);
	default:
		return OTHER;
	}
}

/* Fills bucket, call, futex and peer of the current thread. */
__noinline int note_block(struct thread *t, u32 state)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
	s32 call = CALL_NUMBER(regs);
	u64 arg1 = CALL_ARG1(regs);
	u32 class = call < 0 ? CALL_OTHER : class_of(call);

	if (!t)
		return 0;
	t->call = call;
	t->futex = 0;
	t->peer.family = 0;
	t->saw = 0;
	t->watched = 0;
	t->idles = 0;
	if (t->in_reclaim)
		t->bucket = FAULT;
	else if (state & TASK_UNINTERRUPTIBLE)
		t->bucket = uninterruptible_bucket(call, class, arg1);
	else
		t->bucket = interruptible_bucket(t, class, arg1, CALL_ARG2(regs), CALL_ARG3(regs));
	/* One connection alone, and not the one it served last: a worker's next, most often in its TLS handshake. */
	if ((t->saw & SAW_OTHERS && t->watched > 1) || (t->saw & SAW_LISTENER && (t->saw & SAW_OWN || t->hands_over)))
		t->idles = 1; /* also of poll and select */
	return 0;
}
