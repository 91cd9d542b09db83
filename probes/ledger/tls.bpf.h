/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * Requests by the records of TLS, where only ciphertext is seen. Headers of records are in the clear: type, version, length
 * (RFC 8446, 5.1). Data of the application from the client begin a request, such data back answer it; handshakes are none.
 *
 * TLS 1.3 disguises its later handshake as application data. Told by order: a server that sends such data before the
 * client does, sends its certificate; then all that the client sends is its handshake, to the Finished, which has one of
 * two lengths. What the server sends next may be session tickets; an alert and a key update have lengths of their own, as
 * short as no request is. Not told: padded records, early data (not followed), a body that is read after its answer.
 */
#pragma once

#define RECORD_HEADER 5
#define MOST_RECORD (16384 + 256)
#define MOST_RECORDS 64 /* that begin in one read or write */
#define MOST_FLIGHT 8 /* a client's handshake: its certificate, the proof, the Finished */
#define FINISHED_SHA256 53 /* 4 + 32 + 1 + 16 */
#define FINISHED_SHA384 69
#define HIDDEN_ALERT 19
#define HIDDEN_KEY_UPDATE 22
#define LONGEST_FINISHED_1_2 96 /* a ClientHello is longer */
#define LEAST_TICKET 100
#define MOST_TICKET 1024
#define MOST_TICKETS 4

enum record { CHANGE_CIPHER = 20, ALERT, HANDSHAKE, APPLICATION };

enum phase { SHAKING, OPEN, LOST }; /* LOST: what it is that passes is not known any more */

enum passed { BEGAN_DATA = 1, WENT_ON = 2, BECAME_OPEN = 4, ONLY_TICKETS = 8 };

struct flow { /* one direction */
	u32 left; /* of the record under way */
	u32 header_length;
	u8 header[16]; /* 5 are used */
	u32 type;
	u32 sent_data; /* records of APPLICATION, so far */
	u32 changed; /* its cipher */
	u32 finished; /* before TLS 1.3: the handshake is over for it */
};

struct tls {
	u32 phase;
	u32 tickets_due; /* 1.3: the client's Finished was read, and nothing sent since */
	u32 only_http_2; /* is what the client offers */
	u32 is_read; /* by an OpenSSL that is looked at */
	u32 is_joined; /* its handshake was not seen */
	u32 unused;
	u64 arrived_ns; /* of the last bytes of the handshake */
	struct flow from_client;
	struct flow from_server;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_REQUESTS);
	__type(key, u64); /* socket cookie */
	__type(value, struct tls);
} tls_connections SEC(".maps");

struct pass { /* of bytes through a connection; not on the stack, where the verifier would follow each value that it takes */
	u64 at; /* the user's buffer */
	u32 length; /* of what is left there */
	u32 is_from_server;
	u32 passed; /* enum passed */
	u32 tickets; /* records that may be */
	u32 others;
	u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct pass);
} passes SEC(".maps");

struct passing {
	struct pass *pass;
	struct tls *tls;
};

static __always_inline bool is_short_message(u32 length)
{
	return length == HIDDEN_ALERT || length == HIDDEN_KEY_UPDATE;
}

static __always_inline void data_from_client(struct pass *p, struct tls *tls, u32 length)
{
	if (tls->phase == SHAKING && !tls->from_server.sent_data) {
		tls->phase = tls->from_server.type ? OPEN : LOST; /* 1.2, whose end was not seen; early data */
	} else if (tls->phase == SHAKING) {
		if (length == FINISHED_SHA256 || length == FINISHED_SHA384 || tls->from_client.sent_data > MOST_FLIGHT) {
			tls->phase = OPEN;
			tls->tickets_due = 1;
			p->passed |= BECAME_OPEN;
		}
		return;
	}
	if (tls->phase == OPEN && !is_short_message(length))
		p->passed |= BEGAN_DATA;
}

static __always_inline void data_from_server(struct pass *p, struct tls *tls, u32 length)
{
	if (tls->phase != OPEN || length == HIDDEN_ALERT)
		return;
	if (tls->tickets_due && length >= LEAST_TICKET && length <= MOST_TICKET)
		p->tickets++;
	else
		p->others++;
	p->passed |= BEGAN_DATA;
}

static __always_inline void begin_record(struct pass *p, struct tls *tls, struct flow *flow, u32 length)
{
	if (flow->type == APPLICATION) {
		flow->sent_data++;
		if (p->is_from_server)
			data_from_server(p, tls, length);
		else
			data_from_client(p, tls, length);
	} else if (flow->type == CHANGE_CIPHER) {
		flow->changed = 1;
	} else if (flow->type == HANDSHAKE && flow->changed && length <= LONGEST_FINISHED_1_2) {
		flow->finished = 1;
		if (tls->phase == SHAKING && tls->from_client.finished && tls->from_server.finished)
			tls->phase = OPEN;
	}
}

static __always_inline bool is_header(const u8 *header, u32 length)
{
	return header[0] >= CHANGE_CIPHER && header[0] <= APPLICATION && header[1] == 3 && header[2] <= 4 && length &&
	       length <= MOST_RECORD;
}

/* One step: what is left of a record, or what there is of the next one's header. */
static long pass_piece(u32 i, struct passing *passing)
{
	struct pass *p = passing->pass;
	struct tls *tls = passing->tls;
	struct flow *flow = p->is_from_server ? &tls->from_server : &tls->from_client;
	u32 size, have = flow->header_length & 7, length;

	if (!p->length)
		return 1;
	if (flow->left) {
		size = flow->left < p->length ? flow->left : p->length;
		if (flow->type == APPLICATION && !i)
			p->passed |= WENT_ON;
		flow->left -= size;
		p->at += size;
		p->length -= size;
		return 0;
	}
	size = RECORD_HEADER - have;
	if (have >= RECORD_HEADER)
		return 1;
	if (size > p->length)
		size = p->length;
	if (bpf_probe_read_user(flow->header + have, AT_MOST(RECORD_HEADER, size), (void *)p->at)) {
		tls->phase = LOST;
		return 1;
	}
	p->at += size;
	p->length -= size;
	flow->header_length = have + size;
	if (flow->header_length < RECORD_HEADER)
		return 1;
	length = flow->header[3] << 8 | flow->header[4];
	flow->header_length = 0;
	if (!is_header(flow->header, length)) {
		tls->phase = LOST;
		return 1;
	}
	flow->type = flow->header[0];
	flow->left = length;
	begin_record(p, tls, flow, length);
	return 0;
}

/* Follow bytes that were read or written; returns enum passed. Not static: verified once. */
__noinline u32 pass_records(struct tls *tls, u64 at, u32 length, u32 is_from_server)
{
	u32 zero = 0;
	struct pass *p = bpf_map_lookup_elem(&passes, &zero);
	struct passing passing = { .pass = p, .tls = tls };

	if (!p || !tls || tls->phase == LOST)
		return 0;
	__builtin_memset(p, 0, sizeof(*p));
	p->at = at;
	p->length = length;
	p->is_from_server = is_from_server;
	if (at)
		bpf_loop(2 * MOST_RECORDS, pass_piece, &passing, 0);
	if (p->length)
		tls->phase = LOST;
	if (tls->phase == LOST) {
		count(LOST_TLS);
		return 0;
	}
	if (is_from_server && p->passed & BEGAN_DATA) {
		if (tls->tickets_due && p->tickets && p->tickets <= MOST_TICKETS && !p->others)
			p->passed |= ONLY_TICKETS;
		tls->tickets_due = 0;
	}
	return p->passed;
}

/* The first bytes of a connection that are a ClientHello's; or, joined later, a record's. */
static __always_inline bool begins_record(const char *head, u32 length)
{
	const u8 *header = (const u8 *)head;

	return length >= RECORD_HEADER && is_header(header, header[3] << 8 | header[4]);
}

static __noinline struct tls *new_tls(u64 connection, u32 type)
{
	struct tls new = { .phase = type == HANDSHAKE ? SHAKING : OPEN, .is_joined = type != HANDSHAKE };

	bpf_map_update_elem(&tls_connections, &connection, &new, BPF_ANY);
	return bpf_map_lookup_elem(&tls_connections, &connection);
}
