/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * What passes through OpenSSL in the clear: of a request that the records delimit its first bytes, of its answer too. Read
 * where a thread calls OpenSSL; nothing is kept but what an unencrypted request has here.
 *
 * Whose is it? Whether OpenSSL reads the socket itself or is given what was read (memory BIOs), its handshake returns right
 * after the same thread has read a socket: from there on the SSL object is known to be that connection's, also when it is
 * freed and used anew. (Not so when it returns clear text: an event loop may have read other sockets since. But what was
 * read within the call that returns it is its own.) One whose handshake was not seen, before the attaching, is known by
 * its first clear text that follows a read at once.
 *
 * These programs may be interrupted, also by those of the scheduler: they book nothing.
 */
#pragma once

struct ssl_object {
	u64 address;
	u64 pid;
};

struct { /* the connection that it is for */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_REQUESTS);
	__type(key, struct ssl_object);
	__type(value, u64);
} ssl_objects SEC(".maps");

/* The thread has read of a connection. Costs one look-up where nobody looks at OpenSSL. */
static __noinline int note_ciphertext(u64 connection)
{
	u32 tid = bpf_get_current_pid_tgid(), pid = bpf_get_current_pid_tgid() >> 32;
	struct crypt *c = bpf_map_lookup_elem(&ssl_calls, &pid) ? crypt_of(tid) : NULL;

	if (c)
		c->connection = c->within = connection;
	return 0;
}

#define ONLY_HTTP_2 0x3268020300050010 /* of the extension ALPN: its type, lengths, and "h2" alone */
#define HELLO_PARTS 4
#define HELLO_STEP (ANSWER_BYTES - 8)

/* A ClientHello that offers nothing but HTTP/2, as gRPC's do. Browsers offer both. */
static __noinline bool offers_only_http_2(u64 from, u32 length, struct request *scratch)
{
	u32 size;

	for (u32 i = 0; i < HELLO_PARTS && i * HELLO_STEP < length; i++) {
		size = length - i * HELLO_STEP;
		size = size < ANSWER_BYTES ? size : ANSWER_BYTES - 1;
		if (bpf_probe_read_user(scratch->answer, AT_MOST(ANSWER_BYTES - 1, size), (void *)(from + i * HELLO_STEP)))
			return false;
		if (occurs(scratch->answer, size + 1, ONLY_HTTP_2)) /* also at the end */
			return true;
	}
	return false;
}

static __always_inline void count_ssl_call(u32 pid)
{
	u64 *calls = bpf_map_lookup_elem(&ssl_calls, &pid);

	if (calls)
		__sync_fetch_and_add(calls, 1);
}

static __always_inline bool is_unanswered(const struct request *r)
{
	return r && r->protocol == TLS && !(r->flags & FINAL) && (!(r->flags & ANSWERED) || r->flags & DOUBTFUL);
}

/* Its streams share the connection, so that its records tell no requests. */
static __noinline int leave_to_http_2(struct request *r, u64 from, u32 length)
{
	u64 connection = r->connection;
	struct tls *tls = bpf_map_lookup_elem(&tls_connections, &connection);
	struct http2 *h = uncover_http_2(r, !begins_http_2(r->head));

	if (tls)
		tls->phase = LOST;
	bpf_map_delete_elem(&requests, &connection);
	return h ? pass_clear_frames(h, 0, from, length) : count(HTTP_2);
}

static __always_inline bool was_joined(u64 connection)
{
	struct tls *tls = bpf_map_lookup_elem(&tls_connections, &connection);

	return tls && tls->is_joined;
}

static __noinline int read_clear_request(u64 connection, u64 from, u32 length)
{
	struct request *r = bpf_map_lookup_elem(&requests, &connection);
	struct http2 *h = r ? NULL : http2_of(connection);
	u32 size = length < HEAD_BYTES ? length : HEAD_BYTES - 1;

	if (h)
		return pass_clear_frames(h, 0, from, length);
	if (!is_unanswered(r) || r->head_length)
		return 0;
	if (bpf_probe_read_user(r->head, AT_MOST(HEAD_BYTES - 1, size), (void *)from))
		return 0;
	if (begins_http_2(r->head))
		return leave_to_http_2(r, from, length);
	if (begins_request(r->head, size))
		r->head_length = size;
	else if (size >= FRAME_HEADER && was_joined(connection) && is_frame((const u8 *)r->head, true))
		return leave_to_http_2(r, from, length);
	return 0;
}

static __noinline int read_clear_answer(u64 connection, u64 from, u32 length)
{
	struct request *r = bpf_map_lookup_elem(&requests, &connection);
	struct http2 *h = r ? NULL : http2_of(connection);
	char status[STATUS_BYTES] = {};

	if (h)
		return pass_clear_frames(h, FROM_SERVER, from, length);
	if (is_unanswered(r) && !bpf_probe_read_user(status, sizeof(status), (void *)from) && begins_answer(status))
		read_answer(r, from, length);
	return 0;
}

static __always_inline int enter_read(struct pt_regs *regs, u64 length_at)
{
	u64 ids = bpf_get_current_pid_tgid();
	struct crypt *c = crypt_of(ids);

	count_ssl_call(ids >> 32);
	if (!c)
		return 0;
	c->object = FIRST_ARGUMENT(regs);
	c->buffer = SECOND_ARGUMENT(regs);
	c->length_at = length_at;
	c->within = 0;
	return 0;
}

SEC("uprobe")
int on_ssl_read(struct pt_regs *regs)
{
	return enter_read(regs, 0);
}

SEC("uprobe")
int on_ssl_read_ex(struct pt_regs *regs)
{
	return enter_read(regs, FOURTH_ARGUMENT(regs));
}

SEC("uprobe")
int on_ssl_read_done(struct pt_regs *regs)
{
	u64 ids = bpf_get_current_pid_tgid(), length = 0, connection, *known;
	s32 result = RESULT(regs);
	u32 tid = ids;
	struct crypt *c = bpf_map_lookup_elem(&crypts, &tid);
	struct ssl_object object = { .pid = ids >> 32 };

	if (!c || result <= 0)
		return 0;
	if (!c->length_at)
		length = result;
	else if (bpf_probe_read_user(&length, sizeof(length), (void *)c->length_at))
		return 0;
	object.address = c->object;
	known = c->within ? NULL : bpf_map_lookup_elem(&ssl_objects, &object);
	connection = known ? *known : c->connection;
	if (!connection)
		return 0;
	if (!known)
		bpf_map_update_elem(&ssl_objects, &object, &connection, BPF_ANY);
	if (connection == c->connection)
		c->connection = 0;
	return read_clear_request(connection, c->buffer, length);
}

SEC("uprobe")
int on_ssl_shake(struct pt_regs *regs)
{
	struct crypt *c = crypt_of(bpf_get_current_pid_tgid());

	if (c)
		c->object = FIRST_ARGUMENT(regs);
	return 0;
}

SEC("uprobe")
int on_ssl_shake_done(struct pt_regs *regs)
{
	u64 ids = bpf_get_current_pid_tgid(), connection;
	u32 tid = ids;
	struct crypt *c = bpf_map_lookup_elem(&crypts, &tid);
	struct ssl_object object = { .pid = ids >> 32 };
	struct tls *tls;

	if (!c || !c->connection)
		return 0;
	object.address = c->object;
	connection = c->connection;
	tls = bpf_map_lookup_elem(&tls_connections, &connection);
	if (tls)
		tls->is_read = 1;
	return bpf_map_update_elem(&ssl_objects, &object, &connection, BPF_ANY);
}

/* SSL_write takes an int, SSL_write_ex a size_t: nobody writes 4 GiB at once. */
SEC("uprobe")
int on_ssl_write(struct pt_regs *regs)
{
	u64 ids = bpf_get_current_pid_tgid(), *connection;
	struct ssl_object object = { .address = FIRST_ARGUMENT(regs), .pid = ids >> 32 };
	u32 length = THIRD_ARGUMENT(regs);
	struct crypt *c;

	count_ssl_call(ids >> 32);
	connection = bpf_map_lookup_elem(&ssl_objects, &object);
	if (connection && bpf_map_lookup_elem(&tls_connections, connection))
		return read_clear_answer(*connection, SECOND_ARGUMENT(regs), length);
	c = crypt_of(ids);
	return c ? keep_clear_head(c, SECOND_ARGUMENT(regs), length) : 0;
}
