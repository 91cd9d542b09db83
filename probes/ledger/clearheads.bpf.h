/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * What a process says in the clear on a TLS connection that it opened itself. When OpenSSL is called, nobody knows yet on
 * which: the head is kept until the same thread sends a record of application data that is as much longer as a cipher
 * makes it. A step that has it says so: to the type of the record, its first byte, IN_THE_CLEAR is added, and behind the
 * record's header follows what was written.
 */
#pragma once

#define IN_THE_CLEAR 0x80
#define LEAST_OVERHEAD 16 /* of a cipher: a tag; with TLS 1.3 a type, with 1.2 a nonce, at most a block of padding and a MAC */
#define MOST_OVERHEAD 96
#define MOST_PLAINTEXT 16384

struct crypt { /* a thread that calls OpenSSL */
	u64 connection; /* that it has read of; 0: an SSL object has taken that */
	u64 within; /* that it has read of within the call under way; 0: of none */
	u64 object; /* of the call under way */
	u64 buffer;
	u64 length_at; /* where it says how much it returned; 0: by its result */
	u32 written; /* as much clear text went to the peer of a connection that the process opened, last */
	u32 head_length;
	char head[STEP_HEAD_BYTES];
};

struct { /* by tid */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct crypt);
} crypts SEC(".maps");

struct { /* how often OpenSSL was called, by process: what that cost */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u64);
} ssl_calls SEC(".maps");

static __noinline struct crypt *crypt_of(u32 tid)
{
	struct crypt *c = bpf_map_lookup_elem(&crypts, &tid), new = {};

	if (c)
		return c;
	bpf_map_update_elem(&crypts, &tid, &new, BPF_NOEXIST);
	return bpf_map_lookup_elem(&crypts, &tid);
}

/* Of a connection that the process opened itself: kept until a record of that length is sent (take_clear_head). */
static __noinline int keep_clear_head(struct crypt *c, u64 from, u32 length)
{
	u32 size = length < STEP_HEAD_BYTES ? length : STEP_HEAD_BYTES;

	c->written = length;
	c->head_length = 0;
	if (!bpf_probe_read_user(c->head, AT_MOST(STEP_HEAD_BYTES, size), (void *)from))
		c->head_length = size;
	return 0;
}

/* Puts clear text in the place of the ciphertext in a step's head, if it was what is sent. */
static __noinline int take_clear_head(struct step *step)
{
	u32 tid = bpf_get_current_pid_tgid(), record, written, size;
	struct crypt *c;

	if (step->head_length < RECORD_HEADER || (u8)step->head[0] != APPLICATION || step->head[1] != 3)
		return 0;
	c = bpf_map_lookup_elem(&crypts, &tid);
	if (!c || !c->head_length)
		return 0;
	record = (u8)step->head[3] << 8 | (u8)step->head[4];
	written = c->written < MOST_PLAINTEXT ? c->written : MOST_PLAINTEXT;
	size = c->head_length < STEP_HEAD_BYTES - RECORD_HEADER ? c->head_length : STEP_HEAD_BYTES - RECORD_HEADER;
	c->head_length = 0;
	if (record < written + LEAST_OVERHEAD || record > written + MOST_OVERHEAD)
		return 0;
	bpf_probe_read_kernel(step->head + RECORD_HEADER, AT_MOST(STEP_HEAD_BYTES - RECORD_HEADER, size), c->head);
	step->head[0] = (char)(APPLICATION | IN_THE_CLEAR);
	step->head_length = RECORD_HEADER + size;
	return 0;
}
