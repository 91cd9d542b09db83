/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * Calls: what threads that are followed say on connections that their process opened itself, as steps. The first pieces
 * of a turn are told, of those that follow one a millisecond; the others are added up, and go with the next step of that
 * connection, or user space looks them up. Only a socket that such a thread has used has an entry here, and a cookie: for all others on
 * the host an arrival costs the test of one number.
 */
#pragma once

#define MAX_CONVERSATIONS 8192
#define TOLD_EVERY_NS 1000000
#define TOLD_AT_ONCE 4 /* most turns are one piece or two, and what is added up costs a step of its own */
#define DNS_PORT 53

enum turn { QUIET, ASKING, ANSWERING };

struct { /* by socket cookie */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_CONVERSATIONS);
	__type(key, u64);
	__type(value, struct conversation);
} conversations SEC(".maps");

struct unix_connect { /* connecting a Unix socket is no event; but its listener is told, by the thread that connects */
	u64 name;
	u64 at_ns;
	u64 count; /* of sockets that it has not used since */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32); /* tid */
	__type(value, struct unix_connect);
} unix_connects SEC(".maps");

struct said { /* the fields of a step that its kind decides */
	u32 step;
	s32 bytes; /* that were handed over now; the first of them may be looked at. An errno of CLOSED */
	u64 at_ns;
	u64 since_ns;
	s64 untold;
	u64 is_late;
};

static __always_inline void read_said(struct step *step, s32 bytes)
{
	u64 from = bytes > 0 ? payload() : 0;
	u32 size = bytes;

	if (!from)
		return;
	if (bytes >= STEP_HEAD_BYTES)
		size = bpf_probe_read_user(step->head, STEP_HEAD_BYTES, (void *)from) ? 0 : STEP_HEAD_BYTES;
	else if (bpf_probe_read_user(step->head, size & (STEP_HEAD_BYTES - 1), (void *)from))
		size = 0;
	step->head_length = size;
	if (step->step == STEP_SENT)
		take_clear_head(step);
}

/* A datagram to an address that goes with it: from the system call's arguments, and only that of a name server. */
static __always_inline void datagram_peer(struct address *to)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
	struct { u16 family; __be16 port; u8 rest[24]; } name = {};
	s32 call = CALL_NUMBER(regs);
	u32 class = call < 0 ? CALL_OTHER : class_of(call);
	u64 at = CALL_ARG5(regs);

	if (class == CALL_SENDMSG)
		bpf_probe_read_user(&at, sizeof(at), (void *)CALL_ARG2(regs)); /* msg_name */
	else if (class != CALL_WRITE)
		return;
	if (!at || bpf_probe_read_user(&name, sizeof(name), (void *)at) || name.port != bpf_htons(DNS_PORT))
		return;
	to->family = name.family;
	to->port = DNS_PORT;
	if (name.family == AF_INET)
		__builtin_memcpy(to->bytes, name.rest, 4);
	else if (name.family == AF_INET6)
		__builtin_memcpy(to->bytes, name.rest + 4, 16); /* behind the flow label */
}

/* `t` is the current thread, if what it did goes with this step: all its time until now is booked. */
static __noinline int tell_said(struct thread *t, const struct sock *sk, const struct conversation *c, const struct said *said)
{
	struct told told = { .connection = c->connection, .request = c->request };
	struct step *step;

	told.since_ns = said->since_ns;
	told.bytes = said->bytes + said->untold;
	told.other = said->is_late;
	step = bpf_ringbuf_reserve(&events, sizeof(*step), 0);
	if (!step) {
		count(LOST_STEPS);
		return 0;
	}
	fill_told(step, said->step, said->at_ns, &told);
	step->pid = c->pid;
	step->tid = c->tid;
	take_booked(step->booked, t);
	address_of(sk, false, &step->local);
	address_of(sk, true, &step->peer);
	if (said->step == STEP_SENT && sk->sk_type != SOCK_STREAM && !step->peer.port)
		datagram_peer(&step->peer);
	if (t && (said->step == STEP_SENT || said->step == STEP_RECEIVED))
		read_said(step, said->bytes);
	bpf_ringbuf_submit(step, BPF_RB_NO_WAKEUP);
	return 0;
}

/* Tells what was only added up, as of when the last of it was handed over. */
static __noinline int tell_rest(const struct sock *sk, struct conversation *c)
{
	struct said said = { .step = c->turn == ASKING ? STEP_SENT : STEP_RECEIVED, .at_ns = c->last_ns, .untold = c->untold,
			     .is_late = 1 };

	if (!c->untold)
		return 0;
	c->untold = 0;
	return tell_said(NULL, sk, c, &said);
}

static __noinline int tell_closed(struct thread *t, const struct sock *sk, struct conversation *c, s32 error)
{
	struct said said = { .step = STEP_CLOSED, .bytes = error, .at_ns = bpf_ktime_get_ns() };
	u64 connection = c->connection;

	tell_rest(sk, c);
	tell_said(t, sk, c, &said);
	return bpf_map_delete_elem(&conversations, &connection);
}

static __always_inline struct conversation *new_conversation(struct sock *sk, const struct thread *t, u64 began_ns)
{
	struct conversation new = { .began_ns = began_ns, .pid = t->pid, .tid = t->tid, .request = t->request };
	u64 connection = bpf_get_socket_cookie(sk);

	new.connection = connection;
	bpf_map_update_elem(&conversations, &connection, &new, BPF_ANY);
	return bpf_map_lookup_elem(&conversations, &connection);
}

/* A Unix socket is used for the first time: it is new if its thread has connected one to that listener since. */
static __noinline int tell_unix_connected(struct thread *t, const struct sock *sk, struct conversation *c)
{
	struct said said = { .step = STEP_CONNECTED };
	u32 tid = t->tid;
	struct unix_connect *last = bpf_map_lookup_elem(&unix_connects, &tid);

	if (!last || !last->count || last->name != unix_peer_name_object(sk))
		return 0;
	last->count--;
	c->began_ns = said.at_ns = said.since_ns = last->at_ns;
	return tell_said(NULL, sk, c, &said);
}

static __noinline int note_unix_connect(const struct sock *listener, u64 now)
{
	struct thread *t = followed_thread(bpf_get_current_pid_tgid());
	struct unix_connect new = { .name = unix_name_object(listener), .at_ns = now, .count = 1 }, *last;
	u32 tid;

	if (!t)
		return 0;
	tid = t->tid;
	last = bpf_map_lookup_elem(&unix_connects, &tid);
	if (last && last->name == new.name)
		new.count += last->count;
	return bpf_map_update_elem(&unix_connects, &tid, &new, BPF_ANY);
}

static __always_inline bool is_call(const struct sock *sk)
{
	return role_of(sk) == CONNECTED || (sk->sk_type == SOCK_DGRAM && sk->__sk_common.skc_family != AF_UNIX);
}

/* The conversation that the current thread takes part in, if it is followed. What another does, leaves it quiet. */
static __always_inline struct conversation *conversation_of(struct sock *sk, struct thread *t, s32 length)
{
	u64 connection = sk->__sk_common.skc_cookie.counter;
	struct conversation *c = connection ? bpf_map_lookup_elem(&conversations, &connection) : NULL;

	if (!t) {
		if (c)
			c->turn = c->readable_ns = c->untold = 0;
		return NULL;
	}
	if (!c && length > 0 && is_call(sk)) {
		c = new_conversation(sk, t, 0);
		if (c && sk->__sk_common.skc_family == AF_UNIX)
			tell_unix_connected(t, sk, c);
	}
	if (c) {
		if (t->lane)
			book_running(t, bpf_ktime_get_ns());
		c->pid = t->pid;
		c->tid = t->tid;
		c->request = t->request;
	}
	return c;
}

static __always_inline bool comes_to_nothing(s32 length)
{
	return length == -EAGAIN || length == -EINTR || length == -EINPROGRESS;
}

/* Takes in one more piece; whether it is to be told. */
static __always_inline bool take_piece(struct conversation *c, u32 turn, struct said *said, const struct sock *sk)
{
	if (c->turn != turn) {
		tell_rest(sk, c);
		c->turn = turn;
		c->told = 0;
		if (turn == ASKING)
			c->asked_ns = said->at_ns;
	}
	if (c->told >= TOLD_AT_ONCE && said->at_ns - c->told_ns < TOLD_EVERY_NS) {
		c->untold += said->bytes;
		c->last_ns = said->at_ns;
		return false;
	}
	said->untold = c->untold;
	c->untold = 0;
	c->told++;
	c->told_ns = said->at_ns;
	return true;
}

static __noinline int call_sent(struct sock *sk, int length)
{
	struct thread *t = followed_thread(bpf_get_current_pid_tgid());
	struct said said = { .step = STEP_SENT, .bytes = length };
	struct conversation *c;

	if (comes_to_nothing(length))
		return 0;
	c = conversation_of(sk, t, length);
	if (!c || !t)
		return 0;
	if (length < 0)
		return tell_closed(t, sk, c, length);
	said.at_ns = bpf_ktime_get_ns();
	c->sent_bytes += length;
	return take_piece(c, ASKING, &said, sk) ? tell_said(t, sk, c, &said) : 0;
}

static __always_inline bool has_more(const struct sock *sk)
{
	return sk->sk_type == SOCK_STREAM && sk->__sk_common.skc_family != AF_UNIX ? unread_bytes(sk)
										   : sk->sk_receive_queue.qlen;
}

static __noinline int call_received(struct sock *sk, int length)
{
	struct thread *t = followed_thread(bpf_get_current_pid_tgid());
	struct said said = { .step = STEP_RECEIVED, .bytes = length };
	struct conversation *c;

	if (comes_to_nothing(length))
		return 0;
	c = conversation_of(sk, t, length);
	if (!c || !t || (!length && sk->sk_type != SOCK_STREAM))
		return 0;
	if (length <= 0)
		return tell_closed(t, sk, c, length);
	said.at_ns = bpf_ktime_get_ns();
	said.since_ns = c->readable_ns;
	if (!has_more(sk))
		c->readable_ns = 0;
	c->received_bytes += length;
	return take_piece(c, ANSWERING, &said, sk) ? tell_said(t, sk, c, &said) : 0;
}

static __always_inline void call_arrived(const struct sock *sk)
{
	u64 connection = sk->__sk_common.skc_cookie.counter;
	struct conversation *c = connection ? bpf_map_lookup_elem(&conversations, &connection) : NULL;

	if (c && !c->readable_ns)
		c->readable_ns = bpf_ktime_get_ns();
}

static __noinline int call_connecting(struct sock *sk)
{
	struct thread *t = followed_thread(bpf_get_current_pid_tgid());
	struct said said = { .step = STEP_CONNECTING, .at_ns = bpf_ktime_get_ns() };
	struct conversation *c;

	if (!t)
		return 0;
	c = new_conversation(sk, t, said.at_ns);
	if (t->lane)
		book_running(t, said.at_ns);
	return c ? tell_said(t, sk, c, &said) : 0;
}

/* In an interrupt, or in the thread that closes. */
static __noinline int call_changed(const struct sock *sk, int before, int state)
{
	u64 connection = sk->__sk_common.skc_cookie.counter;
	struct conversation *c = connection ? bpf_map_lookup_elem(&conversations, &connection) : NULL;
	struct said said = { .step = STEP_CONNECTED, .at_ns = bpf_ktime_get_ns() };

	if (!c)
		return 0;
	if (before == TCP_SYN_SENT && state == TCP_ESTABLISHED) {
		said.since_ns = c->began_ns;
		return tell_said(NULL, sk, c, &said);
	}
	if (state == TCP_FIN_WAIT1 || state == TCP_LAST_ACK || state == TCP_CLOSE)
		return tell_closed(NULL, sk, c, -sk->sk_err);
	return 0;
}
