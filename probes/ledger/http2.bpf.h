/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * HTTP/2 (RFC 9113) on accepted connections: the headers of its frames are followed through what is read and written, in
 * the clear or where OpenSSL is called. Told are blocks of headers, the ends of streams, and who read and wrote them; user
 * space makes requests of that (http2/). A connection that was not accepted before it was attached to is joined where a
 * read begins with a frame.
 *
 * Where OpenSSL is called, no time is booked: these programs may be interrupted by the scheduler's. What a socket then reads
 * or writes of the connection tells that.
 */
#pragma once

#define FRAME_HEADER 9
#define PREFACE_BYTES 24
#define MOST_PIECES 8192 /* of one read or write */
#define MOST_VECTORS 1024 /* of them too: the kernel's own limit */
#define FRAME_BYTES __builtin_offsetof(struct passed_frame, head)
#define END_STREAM 1
#define MOST_JOINED (1 << 14) /* what a frame is not longer than, unless both agreed on it */
#define LAST_TYPE 9

struct way { /* one direction */
	u64 vector; /* where the next of the user's buffers is told */
	u64 at; /* in the one under way */
	u64 at_ns; /* of the read or write under way */
	u64 since_ns;
	u32 vectors; /* to come */
	u32 here; /* bytes in the one under way */
	u32 total; /* bytes to be passed */
	u32 preface; /* of it still to come */
	u32 left; /* of the frame under way */
	u32 length;
	u32 header_length;
	u32 type;
	u32 flags;
	u32 stream;
	u32 opens; /* the frame under way opens its stream */
	u32 told_stream;
	u64 told_ns; /* when data of it were told last */
	u32 untold_stream;
	u32 untold_bytes;
	u32 told; /* frames of this read or write */
	u32 ended; /* streams that ended in it */
	u32 passed; /* frames, so far */
	u32 is_wrong; /* what was to be a frame is none */
	u32 block_length;
	u32 unused;
	u64 began_ns; /* when the frame under way could be read */
	u8 header[24]; /* 9 are used */
	u8 block[2 * FRAME_HEAD_BYTES]; /* what was passed of a header block, and not told; room for any offset in it */
};

struct http2 {
	u64 connection;
	u32 is_lost;
	u32 in_the_dark;
	u32 last_stream; /* that the client has opened */
	u32 is_joined;
	u32 reader; /* tid */
	u32 unused;
	struct way from_client;
	struct way from_server;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64); /* socket cookie */
	__type(value, struct http2);
} http2_connections SEC(".maps");

struct { /* a new one, before anything is known of it: too large for the stack */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct http2);
} http2_blank SEC(".maps");

u32 http2_was_seen; /* until then it costs nothing */

static __always_inline struct http2 *http2_of(u64 connection)
{
	return http2_was_seen ? bpf_map_lookup_elem(&http2_connections, &connection) : NULL;
}

static __always_inline bool has_block(u32 type)
{
	return type == FRAME_HEADERS || type == FRAME_CONTINUATION || type == FRAME_PUSH;
}

/* There is no room to tell: what it says later cannot be understood. In the clear it is joined anew. */
static __always_inline int miss_frame(struct http2 *h)
{
	u64 connection = h->connection;

	h->is_lost = 1;
	bpf_map_delete_elem(&http2_connections, &connection);
	count(LOST_STEPS);
	return 0;
}

/* Tells of a connection, or of the frame under way, and what was kept of its header block. Not static: verified once. */
__noinline int tell_frame(struct http2 *h, u32 way, u32 type)
{
	u64 ids = bpf_get_current_pid_tgid();
	struct thread *t = followed_thread(ids);
	struct passed_frame *frame;
	struct way *w;

	if (!h)
		return 0;
	w = way & FROM_SERVER ? &h->from_server : &h->from_client;
	frame = bpf_ringbuf_reserve(&events, sizeof(*frame), 0);
	if (!frame)
		return miss_frame(h);
	frame->size = sizeof(*frame);
	frame->kind = EVENT_FRAME;
	frame->at_ns = type < FRAME_OPENED ? w->at_ns : bpf_ktime_get_ns();
	frame->pid = ids >> 32;
	frame->tid = ids;
	frame->connection = h->connection;
	frame->request = type == FRAME_HEADERS && w->opens ? __sync_fetch_and_add(&last_request, 1) + 1 : 0;
	frame->since_ns = w->opens ? w->began_ns : w->since_ns;
	frame->stream = w->stream;
	frame->type = type;
	frame->flags = w->flags;
	frame->way = way;
	frame->left = w->left;
	frame->lane = t ? t->lane : NO_LANE;
	frame->untold_stream = w->untold_stream;
	frame->untold_bytes = w->untold_bytes;
	frame->bytes = w->left ? 0 : FRAME_HEADER + w->length;
	frame->head_length = w->block_length;
	if (w->block_length)
		bpf_probe_read_kernel(frame->head, FRAME_HEAD_BYTES, w->block);
	w->untold_bytes = w->opens = w->block_length = 0;
	w->told++;
	take_booked(frame->booked, way & IN_THE_DARK ? NULL : t);
	bpf_ringbuf_submit(frame, BPF_RB_NO_WAKEUP);
	return 0;
}

static __noinline int lose_http_2(struct http2 *h)
{
	if (h->is_lost)
		return 0;
	h->is_lost = 1;
	tell_frame(h, IN_THE_DARK, FRAME_LOST);
	return count(HTTP_2);
}

/* Data are told when they end a stream, and else once a millisecond. */
static __always_inline bool is_worth_telling(const struct way *w)
{
	return w->flags & END_STREAM || w->stream != w->told_stream || w->at_ns - w->told_ns >= TOLD_EVERY_NS;
}

static __always_inline void end_data(struct http2 *h, struct way *w, u32 way)
{
	if (is_worth_telling(w)) {
		w->told_stream = w->stream;
		w->told_ns = w->at_ns;
		tell_frame(h, way, FRAME_DATA);
		return;
	}
	w->untold_stream = w->stream;
	w->untold_bytes += FRAME_HEADER + w->length;
}

/* All of a frame has passed that is no header block. */
static __always_inline void end_frame(struct http2 *h, struct way *w, u32 way)
{
	if (w->type == FRAME_DATA)
		end_data(h, w, way);
	else if (w->type == FRAME_RESET)
		tell_frame(h, way, FRAME_RESET);
	else
		return;
	w->ended += w->type == FRAME_RESET || w->flags & END_STREAM;
}

/* No other bytes than a frame's header, as far as those of a known type tell. The first of a connection that is joined may be
 * anything: it is held to what most keep to. */
static __always_inline bool is_frame(const u8 *header, bool is_first)
{
	u32 length = header[0] << 16 | header[1] << 8 | header[2], type = header[3], flags = header[4];
	u32 stream = (header[5] & 0x7f) | header[6] | header[7] | header[8];

	if (is_first && (type > LAST_TYPE || length > MOST_JOINED || header[5] & 0x80 || flags & ~0x2d))
		return false;
	if (type == 2 || type == FRAME_RESET || type == 8) /* priority, window update */
		return length == (type == 2 ? 5 : 4) && (stream || type == 8);
	if (type == 4 || type == 6 || type == 7) /* settings, ping, goaway */
		return !stream && (type == 4 ? length % 6 == 0 : type == 6 ? length == 8 : length >= 8);
	return stream || type > LAST_TYPE;
}

static __always_inline void begin_frame(struct http2 *h, struct way *w, u32 way)
{
	const u8 *header = w->header;

	if (!is_frame(header, h->is_joined && !w->passed++)) {
		w->is_wrong = 1;
		return;
	}
	w->length = w->left = header[0] << 16 | header[1] << 8 | header[2];
	w->type = header[3];
	w->flags = header[4];
	w->stream = (header[5] & 0x7f) << 24 | header[6] << 16 | header[7] << 8 | header[8];
	w->header_length = w->block_length = 0;
	if (w->type == FRAME_HEADERS && !(way & FROM_SERVER) && w->stream & 1 && w->stream > h->last_stream) {
		h->last_stream = w->stream;
		w->opens = 1;
	}
	if (w->type == FRAME_HEADERS && way & FROM_SERVER && w->flags & END_STREAM)
		w->ended++;
	if (w->left)
		return;
	if (has_block(w->type))
		tell_frame(h, way, w->type);
	else
		end_frame(h, w, way);
}

static __always_inline bool next_vector(struct way *w)
{
	struct { u64 base, length; } vector = {};

	if (!w->vectors || bpf_probe_read_user(&vector, sizeof(vector), (void *)w->vector))
		return false;
	w->vectors--;
	w->vector += sizeof(vector);
	w->at = vector.base;
	w->here = vector.length < w->total ? vector.length : w->total;
	return true;
}

static __always_inline void pass_bytes(struct way *w, u32 size)
{
	w->at += size;
	w->here -= size;
	w->total -= size;
}

static __always_inline void pass_payload(struct http2 *h, struct way *w, u32 way)
{
	u32 size = w->left < w->here ? w->left : w->here, have = w->block_length & (FRAME_HEAD_BYTES - 1);

	if (!has_block(w->type)) {
		w->left -= size;
		pass_bytes(w, size);
		if (!w->left)
			end_frame(h, w, way);
		return;
	}
	if (size > FRAME_HEAD_BYTES - have)
		size = FRAME_HEAD_BYTES - have;
	if (bpf_probe_read_user(w->block + have, AT_MOST(FRAME_HEAD_BYTES, size), (void *)w->at)) {
		w->is_wrong = 1;
		return;
	}
	w->left -= size;
	w->block_length = have + size;
	pass_bytes(w, size);
	if (!w->left || w->block_length == FRAME_HEAD_BYTES)
		tell_frame(h, way, w->type);
}

struct frames { /* that are being passed */
	struct http2 *http2;
	u64 way;
};

/* One step: what is left of the preface or a payload in this buffer, or what there is of the next frame's header. */
static long pass_frame(u32 i, struct frames *frames)
{
	struct http2 *h = frames->http2;
	struct way *w = frames->way & FROM_SERVER ? &h->from_server : &h->from_client;
	u32 size, have = w->header_length & 15;

	if (!w->total || w->is_wrong || h->is_lost)
		return 1;
	if (!w->here)
		return next_vector(w) ? 0 : 1;
	if (w->preface) {
		size = w->preface < w->here ? w->preface : w->here;
		w->preface -= size;
		pass_bytes(w, size);
		return 0;
	}
	if (w->left) {
		pass_payload(h, w, frames->way);
		return 0;
	}
	if (have >= FRAME_HEADER)
		return 1;
	if (!have)
		w->began_ns = w->since_ns;
	size = FRAME_HEADER - have;
	if (size > w->here)
		size = w->here;
	if (bpf_probe_read_user(w->header + have, AT_MOST(FRAME_HEADER, size), (void *)w->at))
		return 1;
	pass_bytes(w, size);
	w->header_length = have + size;
	if (w->header_length >= FRAME_HEADER)
		begin_frame(h, w, frames->way);
	return 0;
}

/* Follows what the way says is to be passed. Not static: verified once. */
__noinline int pass_frames(struct http2 *h, u32 way)
{
	struct frames frames = { .http2 = h, .way = way };
	struct way *w;

	if (!h || h->is_lost)
		return 0;
	w = way & FROM_SERVER ? &h->from_server : &h->from_client;
	w->at_ns = bpf_ktime_get_ns();
	bpf_loop(MOST_PIECES, pass_frame, &frames, 0);
	if (w->total || w->is_wrong)
		lose_http_2(h);
	return 0;
}

/* The buffers of the system call under way, of which `length` bytes were read or written. */
static __noinline int find_buffers(struct way *w, u32 length)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
	s32 call = CALL_NUMBER(regs);
	u32 class = call < 0 ? CALL_OTHER : class_of(call);
	struct { u64 vector, count; } message = {};
	u64 at = CALL_ARG2(regs), third = CALL_ARG3(regs);

	asm volatile("" : "+r"(at), "+r"(third)); /* or clang adds up their offsets, and the verifier refuses the sum */
	w->total = length;
	w->vectors = w->here = 0;
	if (class == CALL_READ || class == CALL_WRITE) {
		w->at = at;
		w->here = length;
	} else if (class == CALL_RECVMSG || class == CALL_SENDMSG) {
		bpf_probe_read_user(&message, sizeof(message), (void *)(at + 16)); /* msg_iov, msg_iovlen */
	} else if (class == CALL_READV || class == CALL_WRITEV) {
		message.vector = at;
		message.count = third;
	}
	w->vector = message.vector;
	w->vectors = message.count < MOST_VECTORS ? message.count : MOST_VECTORS;
	return 0;
}

static __noinline struct http2 *new_http_2(u64 connection, u32 in_the_dark, u32 is_joined)
{
	u32 zero = 0;
	struct http2 *h = bpf_map_lookup_elem(&http2_blank, &zero);

	http2_was_seen = 1;
	if (!h || bpf_map_update_elem(&http2_connections, &connection, h, BPF_ANY))
		return NULL;
	h = bpf_map_lookup_elem(&http2_connections, &connection);
	if (!h)
		return NULL;
	h->connection = connection;
	h->in_the_dark = in_the_dark;
	h->is_joined = is_joined;
	h->from_client.preface = is_joined ? 0 : PREFACE_BYTES;
	return h;
}

/* It is followed from here on; `before`: the request that its first bytes were taken for. */
static __noinline int tell_opened(struct http2 *h, const struct address *local, const struct address *remote, u64 before)
{
	u64 ids = bpf_get_current_pid_tgid();
	struct passed_frame *frame = bpf_ringbuf_reserve(&events, sizeof(*frame), 0);

	if (!frame)
		return miss_frame(h);
	__builtin_memset(frame, 0, FRAME_BYTES);
	frame->size = sizeof(*frame);
	frame->kind = EVENT_FRAME;
	frame->at_ns = bpf_ktime_get_ns();
	frame->pid = ids >> 32;
	frame->tid = ids;
	frame->connection = h->connection;
	frame->request = before;
	frame->since_ns = h->from_client.since_ns;
	frame->type = FRAME_OPENED;
	frame->flags = !h->is_joined;
	frame->way = h->in_the_dark ? IN_THE_DARK : 0;
	frame->head_length = 2 * sizeof(*local);
	__builtin_memcpy(frame->head, local, sizeof(*local));
	__builtin_memcpy(frame->head + sizeof(*local), remote, sizeof(*remote));
	bpf_ringbuf_submit(frame, BPF_RB_NO_WAKEUP);
	return 0;
}

static __noinline int close_http_2(u64 connection)
{
	struct http2 *h = http2_of(connection);

	if (!h)
		return 0;
	if (!h->is_lost)
		tell_frame(h, IN_THE_DARK, FRAME_CLOSED); /* whoever runs here */
	return bpf_map_delete_elem(&http2_connections, &connection);
}

/* Threads of gRPC's core read for others, and write for them; they run no Python. */
static __noinline struct thread *new_lane(const struct target *target, u32 lane)
{
	u64 ids = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();
	struct thread *t;

	if (!runs_python(target))
		return NULL;
	t = thread_of(ids >> 32, ids);
	if (!t || t->request || (t->lane && t->lane != lane))
		return NULL;
	t->lane = lane;
	t->kept_ns = t->answered = t->parked = t->pending.size = 0;
	__builtin_memset(&t->ledger, 0, sizeof(t->ledger));
	t->target = *target;
	t->state = RUNNING;
	t->since_ns = now;
	return t;
}

static __always_inline bool waits_for_events(u32 pid, u32 tid)
{
	u32 *waits = bpf_map_lookup_elem(&epoll_waiters, &tid);

	return waits && *waits == pid;
}

/* Its clear text is not read any more. */
static __always_inline bool is_unreadable(const struct http2 *h, u32 pid)
{
	return h->in_the_dark && !bpf_map_lookup_elem(&ssl_calls, &pid);
}

/* Read from the socket. */
static __noinline int received_http_2(struct http2 *h, const struct target *target, u64 arrived, u32 length)
{
	u64 ids = bpf_get_current_pid_tgid();
	struct way *w = &h->from_client;
	struct thread *t = followed_thread(ids);

	if (h->is_lost)
		return 0;
	if (is_unreadable(h, ids >> 32))
		return lose_http_2(h);
	if (!t && waits_for_events(ids >> 32, ids))
		t = new_lane(target, LOOP_LANE);
	if (t && t->lane)
		book_running(t, bpf_ktime_get_ns());
	h->reader = ids;
	w->since_ns = arrived;
	if (h->in_the_dark)
		return tell_frame(h, 0, FRAME_RECORDS);
	find_buffers(w, length);
	return pass_frames(h, 0);
}

/* Who answers streams is an event loop, if it has read them too, or else one of many workers. */
static __always_inline void note_answerer(const struct http2 *h, const struct target *target, u32 ended)
{
	u64 ids = bpf_get_current_pid_tgid();
	struct thread *t = followed_thread(ids);

	if (!t && h->reader == (u32)ids)
		new_lane(target, LOOP_LANE);
	else if (!t && !h->in_the_dark && !waits_for_events(ids >> 32, ids))
		t = new_lane(target, STREAM_LANE);
	if (t && t->lane == STREAM_LANE && ended)
		t->has_ended = 1;
}

/* Written to the socket. */
static __noinline int sent_http_2(struct http2 *h, const struct target *target, u32 length)
{
	struct way *w = &h->from_server;
	struct thread *t = followed_thread(bpf_get_current_pid_tgid());
	u32 told;

	if (h->is_lost)
		return 0;
	if (t && t->lane)
		book_running(t, bpf_ktime_get_ns());
	if (!h->in_the_dark) {
		find_buffers(w, length);
		pass_frames(h, FROM_SERVER);
	} else if (w->told) {
		tell_frame(h, FROM_SERVER, FRAME_RECORDS);
	}
	told = w->told;
	if (told)
		note_answerer(h, target, w->ended);
	w->told = w->ended = 0;
	return 0;
}

/* Read or written through OpenSSL: no time is booked. */
static __always_inline int pass_clear_frames(struct http2 *h, u32 way, u64 from, u32 length)
{
	struct way *w = way & FROM_SERVER ? &h->from_server : &h->from_client;

	w->at = from;
	w->here = w->total = length;
	w->vectors = 0;
	return pass_frames(h, way | IN_THE_DARK);
}

/* The first bytes of a connection that was never read; or, of one that was, a frame. */
static __noinline struct http2 *begin_http_2(const struct sock *sk, u64 connection, u64 arrived, const char *head, u32 length)
{
	bool is_joined = !begins_http_2(head);
	struct address local = {}, remote = {};
	struct http2 *h;

	if (is_joined && (length < FRAME_HEADER || !is_frame((const u8 *)head, true)))
		return NULL;
	h = new_http_2(connection, 0, is_joined);
	if (!h)
		return NULL;
	h->from_client.since_ns = arrived;
	address_of(sk, false, &local);
	address_of(sk, true, &remote);
	tell_opened(h, &local, &remote, 0);
	return h;
}

/* What was taken for a request within TLS are frames. */
static __noinline struct http2 *uncover_http_2(struct request *r, u32 is_joined)
{
	u64 connection = r->connection;
	struct http2 *h = new_http_2(connection, 1, is_joined);

	if (!h)
		return NULL;
	h->from_client.since_ns = r->arrived_ns;
	h->reader = r->tid;
	tell_opened(h, &r->local, &r->remote, r->id);
	return h;
}
