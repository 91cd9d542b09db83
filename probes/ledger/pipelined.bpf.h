/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * Requests that are sent before the one ahead of them is answered, and answers that are streams. Each answer that begins
 * on a connection is one request's; what was read early only says whose. One that waited behind another was begun when that
 * one ended: until then it was in a queue.
 */
#pragma once

#define STREAM_PAUSE_NS 1000000
#define STREAM_TYPE 0x74732d746e657665 /* "event-st", of text/event-stream */
#define VERSION 0x2e312f5054544820 /* " HTTP/1." */
#define CHUNKED 0x0d64656b6e756863 /* "chunked" and the end of a line */
#define LAST_CHUNK 0x0a0d0a0d30 /* 0 and the ends of two lines */
#define LAST_CHUNK_BYTES 5
#define HEAD_END 0x0a0d0a0d
#define LONGEST_METHOD 16

struct waiting {
	u64 arrived_ns;
	u64 received_bytes;
	u32 head_length;
	u32 unused;
	char head[HEAD_BYTES];
};

struct waiting_key {
	u64 connection;
	u64 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct waiting_key);
	__type(value, struct waiting);
} waiting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct waiting);
} waiting_scratch SEC(".maps");

static __always_inline bool is_answered(const struct request *r)
{
	return r->flags & ANSWERED && !(r->flags & DOUBTFUL);
}

struct text_search {
	const char *in;
	u64 wanted;
	u32 length;
	u32 found; /* with something behind it */
};

static long look_at(u32 i, struct text_search *s)
{
	u64 word = 0;

	bpf_probe_read_kernel(&word, sizeof(word), s->in + (i & (ANSWER_BYTES - 1)));
	s->found = word == s->wanted && i + sizeof(word) < s->length;
	return s->found;
}

/* Do 8 bytes stand in a text, with something behind them? */
static __noinline u32 occurs(const char *in, u32 length, u64 wanted)
{
	struct text_search s = { .in = in, .wanted = wanted, .length = length < ANSWER_BYTES ? length : ANSWER_BYTES };

	bpf_loop(s.length, look_at, &s, 0);
	return s.found;
}

/* How many heads of requests end in what is kept of the text, with something behind them. It is asked of every answer.
 * Not static: verified once. */
__noinline u32 heads_ended(const struct request *r)
{
	u32 found = 0, last = 0;

	if (!r)
		return 0;
	for (u32 i = 0; i < HEAD_BYTES - 1 && i + 1 < r->head_length; i++) {
		last = last >> 8 | (u32)(u8)r->head[i] << 24;
		found += last == HEAD_END;
	}
	return found;
}

/* A method, a space: the first bytes of an HTTP request, and hardly ever of a body's later part. */
static __always_inline bool begins_request(const char *head, u32 length)
{
	for (u32 i = 0; i < LONGEST_METHOD && i < length; i++) {
		if (head[i] == ' ')
			return i >= 3 && !(head[0] == 'P' && head[1] == 'R' && head[2] == 'I'); /* HTTP/2 */
		if (head[i] < 'A' || head[i] > 'Z')
			return false;
	}
	return false;
}

static __always_inline bool begins_http_2(const char *head)
{
	return head[0] == 'P' && head[1] == 'R' && head[2] == 'I' && head[3] == ' ';
}

/* A piece of a method: from a client that sends byte by byte. */
static __always_inline bool may_begin_request(const char *head, u32 length)
{
	for (u32 i = 0; i < LONGEST_METHOD && i < length; i++)
		if (head[i] < 'A' || head[i] > 'Z')
			return false;
	return length < LONGEST_METHOD;
}

/* While all that was received fits into the head, it goes there. */
static __noinline int keep_head(struct request *r, u64 from, u32 length)
{
	u32 at = r->head_length & (HEAD_BYTES - 1), size;

	if (at != r->received_bytes || at == HEAD_BYTES - 1)
		return 0;
	size = HEAD_BYTES - 1 - at;
	if (size > length)
		size = length;
	if (from && !bpf_probe_read_user(r->head + at, AT_MOST(HEAD_BYTES - 1, size), (void *)from))
		r->head_length = at + size;
	return 0;
}

/* Does a read begin another request, while the one before is not answered? Then it waits. */
static __noinline int keep_waiting(struct request *r, u64 arrived, u64 from, u32 length)
{
	struct waiting_key key = { .connection = r->connection, .number = r->waiting_to };
	u32 zero = 0, size = length < HEAD_BYTES ? length : HEAD_BYTES - 1;
	struct waiting *w = bpf_map_lookup_elem(&waiting_scratch, &zero);

	if (!w || !from || bpf_probe_read_user(w->head, AT_MOST(HEAD_BYTES - 1, size), (void *)from))
		return 0;
	if (!begins_request(w->head, size) || !occurs(w->head, size, VERSION))
		return 0;
	w->head_length = size;
	w->arrived_ns = arrived;
	w->received_bytes = length;
	if (!bpf_map_update_elem(&waiting, &key, w, BPF_ANY))
		r->waiting_to++;
	return r->waiting_to != r->waiting_from;
}

static __always_inline bool begins_answer(const char *status)
{
	return status[0] == 'H' && status[4] == '/' && status[5] == '1' && status[6] == '.' && status[8] == ' ' &&
	       status[9] >= '1' && status[9] <= '5';
}

static __always_inline bool is_cut(const struct request *r)
{
	return r->head_length == HEAD_BYTES - 1;
}

/* Was another request read in one piece with this one? */
static __always_inline bool is_followed_in_head(const struct request *r)
{
	return !is_cut(r) && heads_ended(r) > r->nth;
}

/* Was one read so, or while this one was not answered? */
static __always_inline bool has_next(const struct request *r)
{
	return r->waiting_from != r->waiting_to || is_followed_in_head(r);
}

/* The time until the answer before is that one's. */
static __always_inline void rebase_ledger(struct thread *t, const struct request *r)
{
	for (u32 i = 0; i < BUCKETS; i++)
		t->ledger.booked[i] -= r->ledger.booked[i];
	for (u32 i = 0; i < PEERS; i++) {
		t->ledger.peers[i].wait_ns -= r->ledger.peers[i].wait_ns;
		t->ledger.peers[i].waits -= r->ledger.peers[i].waits;
	}
}

static __noinline int take_waiting(struct request *r)
{
	struct waiting_key key = { .connection = r->connection, .number = r->waiting_from };
	struct waiting *w = bpf_map_lookup_elem(&waiting, &key);

	r->waiting_from++;
	r->nth = 0;
	r->head_length = 0;
	if (!w)
		return 0;
	r->arrived_ns = w->arrived_ns;
	r->received_bytes = w->received_bytes;
	r->head_length = w->head_length;
	bpf_probe_read_kernel(r->head, HEAD_BYTES, w->head);
	return bpf_map_delete_elem(&waiting, &key);
}

/* An answered request makes way, in its place, for the one whose answer begins now. */
static __noinline int follow_on(struct request *r, struct thread *t, u64 now)
{
	bool is_its_own = t && t->request == r->id && !t->lane;

	tell_request(r, 0);
	if (is_its_own) {
		if (t->parked)
			unpark(t, now);
		rebase_ledger(t, r);
	}
	r->id = __sync_fetch_and_add(&last_request, 1) + 1;
	r->flags &= BY_STEPS;
	r->started_ns = r->ended_ns;
	r->received_bytes = r->sent_bytes = 0;
	__builtin_memset(&r->ledger, 0, sizeof(r->ledger));
	if (is_followed_in_head(r))
		r->nth++;
	else
		take_waiting(r);
	if (is_its_own) {
		t->request = t->pending.request = r->id;
		t->answered = 0;
	}
	return 0;
}

/* What an answer begins with: its status, and what it is, should it turn out to take long. */
static __noinline int read_answer(struct request *r, u64 from, u32 length)
{
	u32 size = length < ANSWER_BYTES ? length : ANSWER_BYTES - 1;

	r->answer_length = 0;
	bpf_probe_read_user(r->status, sizeof(r->status), (void *)from);
	if (!bpf_probe_read_user(r->answer, AT_MOST(ANSWER_BYTES - 1, size), (void *)from))
		r->answer_length = size;
	return 0;
}

/* A stream of events is answered when it has begun: how long it stays open says nothing of the server. */
static __noinline bool is_event_stream(struct request *r)
{
	if (!r->is_stream)
		r->is_stream = occurs(r->answer, r->answer_length, STREAM_TYPE) ? 1 : 2;
	return r->is_stream == 1;
}

static __noinline int note_ending(struct request *r, u64 from, u32 length)
{
	u64 ending = 0;

	r->ends_open = 0;
	if (length >= LAST_CHUNK_BYTES && writes_one_piece())
		r->ends_open = !bpf_probe_read_user(&ending, LAST_CHUNK_BYTES, (void *)(from + length - LAST_CHUNK_BYTES)) &&
			       ending != LAST_CHUNK;
	return 0;
}

/* The client has closed the connection: before it had all of the answer? Told of an answer in chunks, which says its end. */
static __noinline bool is_cut_off(const struct request *r)
{
	return r->protocol == HTTP_1 && r->ends_open && occurs(r->answer, r->answer_length, CHUNKED);
}
