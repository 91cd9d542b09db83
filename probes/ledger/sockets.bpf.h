/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * Whose socket is it? One whose local port (or, Unix, whose name object) is a listener's was accepted; one that has a peer
 * with an address was opened by the process itself. That also settles connections older than the attaching.
 */
#pragma once

enum role { NO_ROLE, ACCEPTED, CONNECTED, LISTENING };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, struct listener);
} listeners SEC(".maps");

struct { /* names of Unix sockets, by name object; read at once, for the object may be used anew */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, u64[UNIX_NAME_BYTES / 8]);
} unix_names SEC(".maps");

struct { /* where a name is copied to: too large for the stack */
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64[UNIX_NAME_BYTES / 8]);
} name_scratch SEC(".maps");

static __always_inline u64 unix_name_object(const struct sock *sk)
{
	return (u64)BPF_CORE_READ((const struct unix_sock *)sk, addr); /* as a number: it is a key */
}

static __always_inline u64 unix_peer_name_object(const struct sock *sk)
{
	const struct sock *peer = BPF_CORE_READ((const struct unix_sock *)sk, peer);

	return peer ? unix_name_object(peer) : 0;
}

static __always_inline u64 listener_key(const struct sock *sk, u16 family)
{
	if (family == AF_INET || family == AF_INET6)
		return sk->__sk_common.skc_num;
	return family == AF_UNIX ? unix_name_object(sk) : 0;
}

static __always_inline bool is_listener(u64 key)
{
	return key && bpf_map_lookup_elem(&listeners, &key);
}

static __noinline u32 role_of(const struct sock *sk)
{
	u16 family = sk->__sk_common.skc_family;

	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return NO_ROLE;
	if (is_listener(listener_key(sk, family)))
		return sk->__sk_common.skc_state == TCP_LISTEN ? LISTENING : ACCEPTED;
	if (family == AF_UNIX)
		return unix_peer_name_object(sk) ? CONNECTED : NO_ROLE;
	return sk->__sk_common.skc_dport ? CONNECTED : NO_ROLE;
}

static __noinline int keep_unix_name(u64 object)
{
	u32 zero = 0;
	u64 *name = bpf_map_lookup_elem(&name_scratch, &zero);
	struct unix_address *address = (struct unix_address *)object;
	u32 length = (AS(struct unix_address, address)->len - 2) & (UNIX_NAME_BYTES - 1); /* less sun_family */

	if (!name)
		return 0;
	__builtin_memset(name, 0, UNIX_NAME_BYTES);
	bpf_probe_read_kernel(name, length, &address->name[0].sun_path);
	return bpf_map_update_elem(&unix_names, &object, name, BPF_ANY);
}

static __noinline int address_of(const struct sock *sk, bool remote, struct address *to)
{
	u16 family = sk->__sk_common.skc_family;
	u64 name;

	if (!to)
		return 0;
	*(u64 *)to->bytes = 0;
	*(u64 *)(to->bytes + 8) = 0;
	to->family = family;
	to->port = remote ? bpf_ntohs(sk->__sk_common.skc_dport) : sk->__sk_common.skc_num;
	if (family == AF_INET) {
		*(u32 *)to->bytes = remote ? sk->__sk_common.skc_daddr : sk->__sk_common.skc_rcv_saddr;
	} else if (family == AF_INET6) {
		bpf_probe_read_kernel(to->bytes, sizeof(to->bytes),
				      remote ? &sk->__sk_common.skc_v6_daddr : &sk->__sk_common.skc_v6_rcv_saddr);
	} else {
		to->port = 0;
		name = remote ? unix_peer_name_object(sk) : unix_name_object(sk);
		*(u64 *)to->bytes = name;
		if (name)
			keep_unix_name(name);
	}
	return 0;
}

/* A Unix listener that was opened after the attaching: its accepted socket has its name, and a nameless peer. */
static __always_inline bool learn_unix_listener(const struct sock *sk)
{
	struct listener new = {};

	if (sk->__sk_common.skc_family != AF_UNIX || unix_peer_name_object(sk))
		return false;
	new.key = unix_name_object(sk);
	if (!new.key)
		return false;
	address_of(sk, false, &new.address);
	bpf_map_update_elem(&listeners, &new.key, &new, BPF_NOEXIST);
	return true;
}

static __noinline int add_listener(const struct sock *sk)
{
	struct listener new = {};

	new.key = listener_key(sk, sk->__sk_common.skc_family);
	if (!new.key)
		return 0;
	new.sock = (u64)sk;
	new.backlog_max = sk->sk_max_ack_backlog;
	new.backlog = sk->sk_ack_backlog;
	address_of(sk, false, &new.address);
	return bpf_map_update_elem(&listeners, &new.key, &new, BPF_ANY);
}

static __always_inline void remove_listener(const struct sock *sk)
{
	u64 key = listener_key(sk, sk->__sk_common.skc_family);
	struct listener *listener = bpf_map_lookup_elem(&listeners, &key);

	if (listener && listener->sock == (u64)sk)
		bpf_map_delete_elem(&listeners, &key);
}

static __always_inline struct sock *socket_of(struct file *file)
{
	if ((file->f_inode->i_mode & S_IFMT) != S_IFSOCK)
		return NULL;
	return AS(struct socket, file->private_data)->sk;
}

static __always_inline struct file *file_of(u32 fd)
{
	struct fdtable *table = bpf_get_current_task_btf()->files->fdt;
	u64 file = 0;

	if (fd < table->max_fds)
		bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd);
	return AS(struct file, file);
}
